//! What is known of a connection and of the requests it carries, and who is told: when a reply counts
//! as sent, and how it all ended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use handfast::{AsyncStream, CloseOutcome};
use hyper::http::{Method, StatusCode, Uri, Version};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::budget::Allowance;
use super::handler::ConnectionInfo;
use super::observer::{CloseEvent, CloseReason, Observer, RequestEvent, TransferEnd};

/// One connection, shared by its engine and the requests under way. All on one thread.
pub(super) struct Link {
    pub(super) activity: Activity,
    pub(super) info: Arc<ConnectionInfo>,
    /// Bytes of a body that nobody wanted which are read all the same.
    pub(super) discard_max: u64,
    /// What its replies may hold while they cannot be sent.
    pub(super) held: Allowance,
    accepted: Instant,
    /// Replies that were handed over and not yet flushed.
    ledger: RefCell<Vec<Record>>,
    observer: Arc<dyn Observer>,
    reported: Cell<bool>,
}

/// What is known of a request and its reply.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) began: Instant,
    pub(super) method: Method,
    pub(super) target: Uri,
    pub(super) version: Version,
    pub(super) status: Option<StatusCode>,
    pub(super) bytes: u64,
    /// The whole body was handed over.
    pub(super) whole: bool,
}

impl Link {
    pub(super) fn new(
        info: Arc<ConnectionInfo>,
        accepted: Instant,
        discard_max: u64,
        held: Allowance,
        observer: Arc<dyn Observer>,
    ) -> Rc<Self> {
        Rc::new(Self {
            activity: Activity::new(accepted, info.is_http2()),
            info,
            discard_max,
            held,
            accepted,
            ledger: RefCell::default(),
            observer,
            reported: Cell::new(false),
        })
    }

    /// A reply was handed over, or given up.
    pub(super) fn enter(&self, record: Record) {
        let mut ledger = self.ledger.borrow_mut();
        if ledger.capacity() == 0 {
            // One at a time is the rule over HTTP/1, and an idle connection keeps its room.
            ledger.reserve_exact(1);
        }
        ledger.push(record);
    }

    /// Is everything that was asked answered, and sent?
    pub(super) fn is_idle(&self) -> bool {
        self.activity.is_idle() && self.ledger.borrow().is_empty()
    }

    /// Reports what is in the ledger: everything before this moment was flushed, or nothing more of it
    /// ever will be.
    pub(super) fn settle(&self, flushed: bool) {
        if self.ledger.borrow().is_empty() {
            return;
        }
        // Taken out first: an observer may do anything. Put back for its room.
        let mut records = self.ledger.take();
        for record in records.drain(..) {
            let end = if flushed && record.whole {
                TransferEnd::Complete
            } else {
                TransferEnd::Aborted
            };
            self.observer.request(&RequestEvent {
                time: record.time,
                connection: &self.info,
                method: &record.method,
                target: &record.target,
                version: record.version,
                status: record.status,
                bytes: record.bytes,
                duration: record.began.elapsed(),
                end,
            });
        }
        if records.capacity() <= LEDGER_KEPT {
            let mut ledger = self.ledger.borrow_mut();
            if ledger.is_empty() {
                *ledger = records;
            }
        }
    }

    /// Tells how the connection ended; once.
    pub(super) fn report(
        &self,
        stream: Option<&AsyncStream<TcpStream>>,
        reason: CloseReason,
        outcome: Option<CloseOutcome>,
    ) {
        if self.reported.replace(true) {
            return;
        }
        self.observer.connection_closed(&CloseEvent {
            time: SystemTime::now(),
            connection: &self.info,
            reason,
            outcome,
            ending: stream.and_then(AsyncStream::ending),
            traffic: stream.map(AsyncStream::traffic).unwrap_or_default(),
            requests: self.activity.requests(),
            duration: self.accepted.elapsed(),
        });
    }
}

/// Entries whose memory an idle connection keeps.
const LEDGER_KEPT: usize = 4;
