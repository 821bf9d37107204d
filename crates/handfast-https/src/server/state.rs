//! What is known of a connection and of the requests it carries, and who is told: when a reply counts
//! as sent, and how it all ended.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use handfast::{AsyncStream, CloseOutcome};
use http::{Method, StatusCode, Uri, Version};
use tokio::io::AsyncWrite as _;

use super::activity::Activity;
use super::budget::Allowance;
use super::engine::{Failure, Transport};
use super::handler::{ConnectionInfo, User};
use super::observer::{
    AbortReason, CloseEvent, CloseReason, Observer, RequestEvent, RequestFields, TransferEnd,
};
use super::places::Place;
use super::sources::Admitted;

/// One connection, shared by its engine and the requests under way. All on one thread.
pub(super) struct ConnectionState {
    pub(super) activity: Activity,
    pub(super) info: Arc<ConnectionInfo>,
    /// The bytes of an unread body that are discarded.
    pub(super) discard_max: u64,
    /// What its replies may hold while they cannot be sent.
    pub(super) held: Allowance,
    /// Where it stands among the server's connections.
    pub(super) place: Rc<Place>,
    /// What its address takes, if that is limited.
    admitted: Option<Rc<Admitted>>,
    /// Wakes its task.
    waker: RefCell<Option<Waker>>,
    /// Its place is wanted, and it was idle.
    leaving: Cell<bool>,
    /// The server retires: the next reply is the last.
    retiring: Cell<bool>,
    accepted: Instant,
    /// Replies that were handed over and not yet flushed.
    ledger: RefCell<Vec<Record>>,
    observer: Arc<dyn Observer>,
    /// Whether requests' header fields are kept for it.
    pub(super) wants_fields: bool,
    /// Why the exchange that is being dropped ends, while it is being dropped.
    cutting: Cell<Option<AbortReason>>,
    /// Why what is under way breaks off with the connection.
    ends_by: Cell<Option<AbortReason>>,
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
    pub(super) user: Option<User>,
    pub(super) status: Option<StatusCode>,
    pub(super) bytes: u64,
    /// The whole body was handed over.
    pub(super) whole: bool,
    /// Why it was not.
    pub(super) abort: Option<AbortReason>,
    pub(super) fields: Option<Box<RequestFields>>,
}

impl ConnectionState {
    pub(super) fn new(
        info: Arc<ConnectionInfo>,
        accepted: Instant,
        discard_max: u64,
        held: Allowance,
        place: Rc<Place>,
        admitted: Option<Rc<Admitted>>,
        observer: Arc<dyn Observer>,
    ) -> Rc<Self> {
        Rc::new(Self {
            activity: Activity::new(accepted, info.is_http2()),
            info,
            discard_max,
            held,
            place,
            admitted,
            waker: RefCell::default(),
            leaving: Cell::new(false),
            retiring: Cell::new(false),
            accepted,
            ledger: RefCell::default(),
            wants_fields: observer.wants_fields(),
            observer,
            cutting: Cell::new(None),
            ends_by: Cell::new(None),
            reported: Cell::new(false),
        })
    }

    /// Flushes. What the client does not take now is held for it.
    pub(super) fn poll_flush<T: Transport>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut AsyncStream<T>,
    ) -> Poll<Result<(), Failure>> {
        let Poll::Ready(flushed) = Pin::new(&mut *stream).poll_flush(cx) else {
            stream.rest();
            self.held.note(stream.unsent_memory_held());
            return Poll::Pending;
        };
        flushed.map_err(Failure::io)?;
        self.held.note(0);
        Poll::Ready(Ok(()))
    }

    /// Notes the task that serves the connection.
    pub(super) fn serve_by(&self, waker: &Waker) {
        *self.waker.borrow_mut() = Some(waker.clone());
    }

    /// Since when nothing has been under way, if so.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.activity.idle_since().filter(|_| self.is_idle())
    }

    /// Its place is wanted: it is to go, if it is still idle when it hears of it.
    pub(super) fn ask_to_leave(&self) {
        self.leaving.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Is the connection to end with the reply that is being made?
    pub(super) fn closes_soon(&self) -> bool {
        self.leaving.get() || self.retiring.get() || self.place.is_wanted()
    }

    /// Counts a request of its address. An error: it is one too many, for so long.
    pub(super) fn admit_request(&self) -> Result<(), Duration> {
        match &self.admitted {
            Some(admitted) => admitted.request(&*self.observer),
            None => Ok(()),
        }
    }

    /// The server retires: the next reply is the last.
    pub(super) fn retire(&self) {
        self.retiring.set(true);
    }

    /// Was it asked to leave?
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Drops an exchange; what is given up with it is recorded with the reason.
    pub(super) fn cut<T>(&self, exchange: T, reason: Option<AbortReason>) {
        self.cutting.set(reason);
        drop(exchange);
        self.cutting.set(None);
    }

    /// The connection ends. The first reason is the one that counts.
    pub(super) fn ends(&self, reason: &CloseReason) {
        if self.ends_by.get().is_none() {
            self.ends_by.set(Some(match reason {
                CloseReason::Stalled => AbortReason::Stalled,
                CloseReason::Stopped => AbortReason::Stopped,
                _ => AbortReason::Connection,
            }));
        }
    }

    /// A reply was handed over, or given up.
    pub(super) fn enter(&self, mut record: Record) {
        if !record.whole {
            record.abort = record.abort.or_else(|| self.cutting.get());
        }
        let mut ledger = self.ledger.borrow_mut();
        if ledger.capacity() == 0 {
            // One at a time is the rule over HTTP/1, and an idle connection keeps its room.
            ledger.reserve_exact(1);
        }
        ledger.push(record);
    }

    /// Is everything that was asked answered, and sent?
    pub(super) fn is_idle(&self) -> bool {
        self.activity.is_idle() && self.is_settled()
    }

    /// Has every reply that was handed over gone to the kernel?
    pub(super) fn is_settled(&self) -> bool {
        self.ledger.borrow().is_empty()
    }

    /// Reports what is in the ledger: everything before this moment was flushed, or nothing more of it
    /// ever will be.
    pub(super) fn settle(&self, flushed: bool) {
        if self.ledger.borrow().is_empty() {
            return;
        }
        // Taken out first: an observer may do anything. Put back for its room.
        let mut records = self.ledger.take();
        let now = Instant::now();
        self.activity.flushed(now);
        for record in records.drain(..) {
            let (end, abort) = match flushed && record.whole {
                true => (TransferEnd::Complete, None),
                false => {
                    let reason = record.abort.or_else(|| self.ends_by.get());
                    let reason = reason.unwrap_or(AbortReason::Connection);
                    (TransferEnd::Aborted, Some(reason))
                }
            };
            self.observer.request(&RequestEvent {
                time: record.time,
                connection: &self.info,
                method: &record.method,
                target: &record.target,
                version: record.version,
                user: record.user.as_ref().map(User::name),
                status: record.status,
                bytes: record.bytes,
                duration: now.saturating_duration_since(record.began),
                end,
                abort,
                fields: record.fields.as_deref(),
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
    pub(super) fn report<T: Transport>(
        &self,
        stream: Option<&AsyncStream<T>>,
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
