//! What people and scripts are told of transfers besides what they fetch: the options, and what they open.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use handfast::Explanation;
use handfast_https::client::{Event, Request};

use super::progress::{Meter, Progress};
use super::reports::{Archive, Lines};
use super::timing;
use super::trace::Trace;
use super::transfer::{Recorder, Transfer};
use super::write_out::Format;
use crate::failure::{Failure, code, plain};
use crate::output::{self, ColourWhen};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reports")]
pub(super) struct ShowArgs {
    /// After each transfer, write this to stdout; %{NAME} is one of curl's variables, `@FILE` is read
    #[arg(short = 'w', long, value_name = "FORMAT", allow_hyphen_values = true)]
    write_out: Option<String>,
    /// Show the phases of each transfer as bars, on stderr
    #[arg(long)]
    timing: bool,
    /// Write a line of JSON about each transfer to FILE: verdict, bytes, end, TLS, times
    #[arg(long, value_name = "FILE")]
    json_report: Option<String>,
    /// Write an HTTP archive (HAR) of all transfers to FILE
    #[arg(long, value_name = "FILE")]
    har: Option<String>,
    /// Write what is sent and received within TLS to FILE; `-` is stdout, `%` is stderr
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    trace_ascii: Option<String>,
    /// The same with hexadecimal numbers
    #[arg(long, value_name = "FILE")]
    trace: Option<String>,
    /// With the time of each event (UTC)
    #[arg(long)]
    trace_time: bool,
    /// On a terminal, show a plain bar of `#`
    #[arg(short = '#', long)]
    progress_bar: bool,
    /// Show no progress
    #[arg(long)]
    no_progress_meter: bool,
    /// When to use colours: for JSON and heads, and for messages
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: ColourWhen,
}

impl ShowArgs {
    /// Opens what is to be written to, so that a path that cannot be written is told before anything is fetched.
    pub(super) fn open(&self, is_silent: bool) -> Result<Show, Failure> {
        output::colour(self.color);
        let format = self.write_out.as_deref().map(Format::read).transpose()?;
        let lines = self
            .json_report
            .as_deref()
            .map(|name| opened(name, Lines::open(name)));
        let archive = self
            .har
            .as_deref()
            .map(|name| opened(name, Archive::open(name)));
        let trace = match (&self.trace, &self.trace_ascii) {
            (Some(name), _) => Some(opened(name, Trace::open(name, true, self.trace_time))?),
            (None, Some(name)) => Some(opened(name, Trace::open(name, false, self.trace_time))?),
            (None, None) => None,
        };
        Ok(Show {
            format,
            is_timed: self.timing,
            lines: lines.transpose()?.map(RefCell::new).map(Rc::new),
            archive: archive.transpose()?.map(RefCell::new).map(Rc::new),
            trace: trace.map(Arc::new),
            progress: match is_silent || self.no_progress_meter {
                true => None,
                false => Progress::on_stderr(self.progress_bar).map(Rc::new),
            },
        })
    }
}

impl ShowArgs {
    /// The same for what stands after `--next`: its own `-w`, and the files of what stands before.
    pub(super) fn open_after(&self, first: &Show) -> Result<Show, Failure> {
        let format = self.write_out.as_deref().map(Format::read).transpose()?;
        Ok(Show {
            format,
            is_timed: first.is_timed || self.timing,
            lines: first.lines.clone(),
            archive: first.archive.clone(),
            trace: first.trace.clone(),
            progress: first.progress.clone(),
        })
    }
}

fn opened<T>(name: &str, opened: io::Result<T>) -> Result<T, Failure> {
    opened.map_err(|error| {
        let what = format!("cannot write to {}", handfast::escape_control(name));
        let explanation = Explanation::new("output-unwritable", what)
            .with_evidence(plain(&error))
            .with_fix("check the path, and that this user may write there");
        Failure::new(code::WRITE, explanation)
    })
}

/// All that is told of transfers.
pub(super) struct Show {
    format: Option<Format>,
    is_timed: bool,
    lines: Option<Rc<RefCell<Lines>>>,
    archive: Option<Rc<RefCell<Archive>>>,
    trace: Option<Arc<Trace>>,
    progress: Option<Rc<Progress>>,
}

impl Show {
    /// Is something written to stdout after each transfer?
    pub(super) fn has_format(&self) -> bool {
        self.format.is_some()
    }

    /// Is anything told that the events of an exchange have to be known for?
    fn is_wanted(&self) -> bool {
        self.format.is_some()
            || self.is_timed
            || self.lines.is_some()
            || self.archive.is_some()
            || self.trace.is_some()
            || self.progress.is_some()
    }

    /// Draws the progress of transfers, for as long as it is polled.
    pub(super) async fn draw(&self) -> Infallible {
        match &self.progress {
            Some(progress) => progress.draw().await,
            None => future::pending().await,
        }
    }

    /// Takes away what is drawn.
    pub(super) fn clear(&self) {
        if let Some(progress) = &self.progress {
            progress.clear();
        }
    }

    /// The progress of a transfer, of a file of this name; of none, if its body goes to the terminal.
    pub(super) fn meter(&self, name: Option<&str>) -> Meter {
        match (&self.progress, name) {
            (Some(progress), Some(name)) => progress.begin(name),
            _ => Meter::default(),
        }
    }

    /// The request, whose events are recorded.
    pub(super) fn observe(&self, request: Request, recorder: &Recorder, meter: &Meter) -> Request {
        if !self.is_wanted() {
            return request;
        }
        let recorder = recorder.clone();
        let trace = self.trace.clone();
        let meter = meter.clone();
        // What is in memory is not told piece by piece.
        let body = match request.upload() {
            None => request.body().clone(),
            Some(_) => bytes::Bytes::new(),
        };
        request.with_observer(move |event| {
            if let Some(trace) = &trace {
                trace.event(event);
            }
            let mut transfer = recorder.transfer();
            transfer.observe(event);
            match event {
                Event::Requesting { body_bytes, .. } => {
                    meter.sending(*body_bytes);
                    let is_in_memory = *body_bytes == Some(body.len() as u64);
                    if is_in_memory && !body.is_empty() {
                        transfer.sent(body.len() as u64);
                        if let Some(trace) = &trace {
                            trace.sent(&body);
                        }
                    }
                }
                Event::Uploading { piece } => meter.sent(piece.len()),
                Event::Responding { framing, .. } => meter.responding(framing.expected()),
                _ => {}
            }
        })
    }

    /// A request for a range of the same file: the connection that it takes is one of the transfer's.
    pub(super) fn observe_range(&self, request: Request, recorder: &Recorder) -> Request {
        if !self.is_wanted() {
            return request;
        }
        let recorder = recorder.clone();
        let trace = self.trace.clone();
        request.with_observer(move |event| {
            if let Some(trace) = &trace {
                trace.event(event);
            }
            if matches!(event, Event::Secured { .. } | Event::Unsecured { .. }) {
                recorder.transfer().another_connection();
            }
        })
    }

    /// What pieces of a body are told to, by who has nothing else of this.
    pub(super) fn receiver(&self, meter: &Meter) -> impl Fn(&[u8]) + Send + use<> {
        let (trace, meter) = (self.trace.clone(), meter.clone());
        move |piece| {
            meter.received(piece.len());
            if let Some(trace) = &trace {
                trace.received(piece);
            }
        }
    }

    /// A piece of a body came.
    pub(super) fn received(&self, piece: &[u8], meter: &Meter) {
        meter.received(piece.len());
        if let Some(trace) = &self.trace {
            trace.received(piece);
        }
    }

    /// A transfer is over, and has said how.
    pub(super) fn over(&self, transfer: &Transfer) {
        if self.is_timed {
            timing::show(transfer, output::width());
        }
        if let Some(lines) = &self.lines {
            lines.borrow_mut().write(transfer);
        }
        if let Some(archive) = &self.archive {
            archive.borrow_mut().write(transfer);
        }
        if let Some(format) = &self.format {
            format.write(transfer);
        }
    }
}
