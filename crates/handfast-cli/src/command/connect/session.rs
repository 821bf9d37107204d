//! The session: terminal and connection at once, on one thread, with one `poll`.
//!
//! Each turn moves what can be moved (plaintext to standard output, input into records, records to
//! the wire) and then waits for whatever the rest needs. Nothing is read that cannot be passed on:
//! standard input only while the wire takes what was read before, the wire only while standard output
//! takes it. So neither direction grows a buffer, and neither can stop the other.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use handfast::{CloseOutcome, Connection, Ending, Error, Phase, Read, Traffic};
use rustix::event::{PollFd, PollFlags};

use super::negotiate::failed;
use super::poll::{self, Signals};
use super::stdio::{Input, Output, Typed, Written};
use super::wire::{Received, Sent, Wire};

/// One read of standard input: what a pipe holds.
const INPUT_BYTES: usize = 64 * 1024;

/// Records that may wait for the wire while more input is read: enough to keep the wire busy during
/// the next read.
const OUTGOING_MAX: usize = 64 * 1024;

/// One read of plaintext: several full records.
const ARRIVED_BYTES: usize = 128 * 1024;

/// A record with nothing but an alert in it is never longer: header, alert, content type, nonce, tag,
/// and a MAC with padding in the worst suite of TLS 1.2.
const ALERT_RECORD_MAX: usize = 96;

/// A peer that has ended its direction may still be reading ours, so what flows goes on flowing. One
/// second without anything to send, and nobody is waiting for it.
const INPUT_SILENCE: Duration = Duration::from_secs(1);

/// Most servers take the end of our direction for the end of everything, and answer nothing any more.
/// So the end of a script's input is told only once the answers are there: when nothing more has come
/// for so long ...
const ANSWER_SILENCE: Duration = Duration::from_secs(2);

/// ... or nothing at all, from a server that may have to look something up before it answers.
pub(super) const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Input that is longer is no script with questions but a transfer, and its end is told at once.
const SCRIPT_BYTES_MAX: u64 = 64 * 1024;

/// How long a peer that has ended its direction may take none of what we send.
const WIRE_SILENCE: Duration = Duration::from_secs(30);

/// Asked to end, the session says so to the peer, and waits so long for the answer: without reading
/// it, closing would reset the connection and destroy our last words.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How a session went.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How the peer's direction ended, if it did.
    pub(super) ending: Option<Ending>,
    pub(super) close: CloseOutcome,
    pub(super) traffic: Traffic,
    pub(super) took: Duration,
    pub(super) why: Why,
    /// Input that the peer was not there to take.
    pub(super) input_unsent: bool,
    /// Input was still open when the peer had ended.
    pub(super) input_left_open: bool,
    /// Nothing had come since the last of the input when waiting for it was given up.
    pub(super) unanswered: bool,
}

/// When our direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// With the input.
    AtOnce,
    /// When what a short input asked for has been answered.
    AfterAnswers,
    /// When whatever the input asked for has been answered: this is a dialogue.
    AfterAllAnswers,
    /// When the peer has ended, too.
    KeepOpen,
}

/// What the peer owes us for our input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Nothing, or nothing that is waited for.
    NotAwaited,
    /// The input has ended, and nothing has come since.
    Awaited,
    /// Something has come since.
    Coming,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Why {
    /// Both directions had ended, or the peer's so that there was nothing left to do.
    Ended,
    /// A signal asked for it.
    Interrupted,
    /// Nobody reads standard output any more.
    OutputClosed,
    /// TLS or the channel failed.
    Failed(Error),
    Input(io::Error),
    Output(io::Error),
}

/// What goes wrong in a turn.
enum Fault {
    Tls(Error),
    Input(io::Error),
    Output(io::Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

/// Bytes between one read and the writes that take them.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new(size: usize) -> Self {
        Self {
            bytes: vec![0; size].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// All of it: only for a buffer that is empty.
    fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn fill(&mut self, count: usize) {
        (self.start, self.end) = (0, count);
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
    }

    fn clear(&mut self) {
        self.fill(0);
    }
}

/// A session over a secured channel.
#[derive(Debug)]
pub(super) struct Session<'s> {
    wire: &'s mut Wire,
    connection: &'s mut Connection,
    signals: &'s Signals,
    /// None once it has ended, or is not wanted any more.
    input: Option<Input>,
    output: Output,
    closing: Closing,
    answer: Answer,
    /// How much input there was.
    typed: u64,
    unanswered: bool,
    /// Input on its way into records.
    pending: Buffer,
    /// Plaintext on its way to standard output.
    arrived: Buffer,
    ending: Option<Ending>,
    /// The peer takes nothing any more.
    writer_gone: bool,
    half_closed: bool,
    /// Set once the session is to end without more ado: what still comes is discarded.
    leaving: Option<(Instant, Leaving)>,
    /// The time to leave is up.
    given_up: bool,
    /// When something moved last.
    moved: Instant,
    input_unsent: bool,
    input_left_open: bool,
}

#[derive(Debug, Clone, Copy)]
enum Leaving {
    Interrupted,
    OutputClosed,
}

/// What a wait found.
#[derive(Debug, Default)]
struct Ready {
    signal: bool,
    wire: bool,
    input: bool,
    output_gone: bool,
}

impl<'s> Session<'s> {
    /// [`Closing::KeepOpen`] also means that our direction stays open when the peer has ended and the
    /// input has not.
    pub(super) fn new(
        wire: &'s mut Wire,
        connection: &'s mut Connection,
        signals: &'s Signals,
        input: Input,
        closing: Closing,
    ) -> Self {
        Self {
            wire,
            connection,
            signals,
            input: Some(input),
            output: Output::new(),
            closing,
            answer: Answer::NotAwaited,
            typed: 0,
            unanswered: false,
            pending: Buffer::new(INPUT_BYTES),
            arrived: Buffer::new(ARRIVED_BYTES),
            ending: None,
            writer_gone: false,
            half_closed: false,
            leaving: None,
            given_up: false,
            moved: Instant::now(),
            input_unsent: false,
            input_left_open: false,
        }
    }

    /// Runs it to its end.
    pub(super) fn run(mut self) -> Outcome {
        let began = Instant::now();
        let why = loop {
            match self.turn() {
                Ok(false) => {}
                Ok(true) => {
                    break match self.leaving {
                        None => Why::Ended,
                        Some((_, Leaving::Interrupted)) => Why::Interrupted,
                        Some((_, Leaving::OutputClosed)) => Why::OutputClosed,
                    };
                }
                Err(Fault::Tls(error)) => {
                    // The alert tells the peer why, if it can be had at once.
                    let _ = self.wire.send(self.connection.outgoing());
                    break Why::Failed(error);
                }
                // No close_notify: what the peer got is not all that there was.
                Err(Fault::Input(error)) => break Why::Input(error),
                Err(Fault::Output(error)) => break Why::Output(error),
            }
        };
        Outcome {
            ending: self.ending,
            close: self.close_outcome(),
            traffic: self.connection.traffic(),
            took: began.elapsed(),
            why,
            input_unsent: self.input_unsent,
            input_left_open: self.input_left_open,
            unanswered: self.unanswered,
        }
    }

    /// Moves what can be moved, then waits; `true` once the session is over.
    fn turn(&mut self) -> Result<bool, Fault> {
        self.deliver()?;
        self.offer()?;
        self.transmit()?;
        if self.is_over() {
            return Ok(true);
        }
        let Some(ready) = self.wait()? else {
            self.lose_patience();
            return Ok(false);
        };
        if ready.signal && self.signals.take() {
            if self.leaving.is_some() {
                return Ok(true);
            }
            self.leave(Leaving::Interrupted);
        }
        if ready.output_gone {
            self.leave(Leaving::OutputClosed);
        }
        if ready.wire {
            self.receive()?;
        }
        if ready.input {
            self.read_input()?;
        }
        Ok(false)
    }

    /// From the connection to standard output.
    fn deliver(&mut self) -> Result<(), Fault> {
        loop {
            while !self.arrived.is_empty() {
                if self.leaving.is_some() {
                    self.arrived.clear();
                    break;
                }
                match self
                    .output
                    .write(self.arrived.filled())
                    .map_err(Fault::Output)?
                {
                    Written::Bytes(count) => self.arrived.consume(count),
                    Written::Nothing => return Ok(()),
                    Written::Closed => self.leave(Leaving::OutputClosed),
                }
                self.moved = Instant::now();
            }
            if self.ending.is_some() {
                return Ok(());
            }
            match self.connection.read(self.arrived.room())? {
                Read::Data(count) => {
                    self.arrived.fill(count);
                    if self.answer == Answer::Awaited {
                        self.answer = Answer::Coming;
                    }
                }
                Read::WouldBlock => return Ok(()),
                Read::End(ending) => {
                    self.peer_ended(ending);
                    return Ok(());
                }
            }
        }
    }

    fn peer_ended(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.answer = Answer::NotAwaited;
        self.moved = Instant::now();
        match ending {
            // A person would have to guess that there is nobody any more. What comes from elsewhere
            // goes on while it flows: the peer may be reading still.
            Ending::CloseNotify => {
                if self.input.as_ref().is_some_and(Input::is_terminal) {
                    self.input = None;
                }
            }
            Ending::Premature => self.drop_input(),
            Ending::Reset => self.peer_gone(),
        }
    }

    /// From standard input into records; and at its end, `close_notify`.
    fn offer(&mut self) -> Result<(), Fault> {
        if self.writer_gone {
            return Ok(());
        }
        while !self.pending.is_empty() {
            match self
                .connection
                .write(&[IoSlice::new(self.pending.filled())])?
            {
                0 => return Ok(()),
                count => self.pending.consume(count),
            }
        }
        self.connection.flush()?;
        let held_open = (self.keeps_open() || self.answer != Answer::NotAwaited)
            && self.ending.is_none()
            && self.leaving.is_none();
        if self.input.is_none() && !held_open {
            self.connection.send_close_notify()?;
        }
        Ok(())
    }

    /// From records to the wire.
    fn transmit(&mut self) -> Result<(), Fault> {
        while !self.writer_gone && !self.connection.outgoing().is_empty() {
            match self
                .wire
                .send(self.connection.outgoing())
                .map_err(failed(Phase::Request))?
            {
                Sent::Bytes(count) => {
                    self.connection.sent(count);
                    self.moved = Instant::now();
                }
                Sent::Nothing => return Ok(()),
                Sent::Gone => self.peer_gone(),
            }
        }
        if self.connection.close_notify_sent() && !self.half_closed {
            self.wire.half_close();
            self.half_closed = true;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Fault> {
        match self
            .wire
            .receive(self.connection.receive_room())
            .map_err(failed(Phase::Response))?
        {
            Received::Bytes(count) => self.connection.received(count),
            Received::Nothing => {}
            Received::End => self.connection.received_end(),
            Received::Reset => self.connection.received_reset(),
        }
        Ok(())
    }

    fn read_input(&mut self) -> Result<(), Fault> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        match input.read(self.pending.room()).map_err(Fault::Input)? {
            Typed::Bytes(count) => {
                self.pending.fill(count);
                self.typed = self.typed.saturating_add(count as u64);
                self.moved = Instant::now();
            }
            Typed::Nothing => {}
            Typed::End => {
                // Whoever sits at a terminal has read the answers before ending the input.
                if !input.is_terminal() && self.awaits_answers() {
                    self.answer = Answer::Awaited;
                }
                self.input = None;
            }
        }
        Ok(())
    }

    fn keeps_open(&self) -> bool {
        self.closing == Closing::KeepOpen
    }

    /// Is what the peer says to the input waited for when it has ended?
    fn awaits_answers(&self) -> bool {
        match self.closing {
            Closing::AtOnce | Closing::KeepOpen => false,
            Closing::AfterAnswers => (1..=SCRIPT_BYTES_MAX).contains(&self.typed),
            Closing::AfterAllAnswers => self.typed > 0,
        }
    }

    fn is_over(&self) -> bool {
        let all_sent = self.connection.close_notify_sent() && self.connection.outgoing().is_empty();
        let both_ended = self.ending.is_some() && (self.writer_gone || all_sent);
        self.given_up || (both_ended && self.arrived.is_empty())
    }

    /// `None` when the time is up.
    fn wait(&self) -> Result<Option<Ready>, Fault> {
        let mut kinds = Vec::with_capacity(5);
        let mut fds = Vec::with_capacity(5);
        let mut ask = |kind: fn(&mut Ready), fd| {
            kinds.push(kind);
            fds.push(fd);
        };
        ask(|ready| ready.signal = true, self.signals.poll_fd());
        if self.ending.is_none()
            && self.arrived.is_empty()
            && let Some(reader) = self.wire.reader()
        {
            let fd = PollFd::from_borrowed_fd(reader, PollFlags::IN);
            ask(|ready| ready.wire = true, fd);
        }
        let outgoing = self.connection.outgoing().len();
        if outgoing > 0
            && !self.writer_gone
            && let Some(writer) = self.wire.writer()
        {
            // Room is made use of by the next turn.
            let fd = PollFd::from_borrowed_fd(writer, PollFlags::OUT);
            ask(|_| {}, fd);
        }
        if self.pending.is_empty()
            && outgoing < OUTGOING_MAX
            && let Some(input) = &self.input
        {
            ask(|ready| ready.input = true, input.poll_fd());
        }
        match (self.arrived.is_empty(), self.leaving) {
            (false, None) => ask(|_| {}, self.output.poll_fd(true)),
            (true, None) => ask(|ready| ready.output_gone = true, self.output.poll_fd(false)),
            _ => {}
        }
        let in_time = poll::wait(&mut fds, self.patience()).map_err(failed(Phase::Response))?;
        let mut ready = Ready::default();
        for (kind, _) in kinds.iter().zip(&fds).filter(|(_, fd)| poll::is_ready(fd)) {
            kind(&mut ready);
        }
        Ok(in_time.then_some(ready))
    }

    /// Until when the next thing must happen. A session that has not ended on either side waits for
    /// ever, and so does what arrived for whoever reads it.
    fn patience(&self) -> Option<Instant> {
        if let Some((until, _)) = self.leaving {
            return Some(until);
        }
        if self.ending.is_none() {
            // While some of our words, or of the peer's, are on their way, nobody is silent.
            let under_way = !self.connection.outgoing().is_empty() || !self.arrived.is_empty();
            return match self.answer {
                _ if under_way => None,
                Answer::NotAwaited => None,
                Answer::Awaited => Some(self.moved + FIRST_ANSWER_WITHIN),
                Answer::Coming => Some(self.moved + ANSWER_SILENCE),
            };
        }
        if !self.connection.outgoing().is_empty() && !self.writer_gone {
            Some(self.moved + WIRE_SILENCE)
        } else {
            // Told to keep our direction open, it is the input that ends it, however slowly it comes.
            self.input
                .as_ref()
                .filter(|_| !self.keeps_open())
                .map(|_| self.moved + INPUT_SILENCE)
        }
    }

    fn lose_patience(&mut self) {
        if self.leaving.is_some() {
            self.given_up = true;
        } else if self.ending.is_none() {
            self.unanswered = self.answer == Answer::Awaited;
            self.answer = Answer::NotAwaited;
        } else if self.connection.outgoing().is_empty() {
            self.input = None;
            self.input_left_open = true;
        } else {
            self.peer_gone();
        }
    }

    fn leave(&mut self, why: Leaving) {
        if self.leaving.is_none() {
            self.leaving = Some((Instant::now() + LEAVE_WITHIN, why));
            self.drop_input();
        }
    }

    /// The peer takes nothing any more. What it has said already can still be read.
    fn peer_gone(&mut self) {
        self.input_unsent |= self.connection.outgoing().len() > ALERT_RECORD_MAX;
        self.writer_gone = true;
        self.drop_input();
    }

    fn drop_input(&mut self) {
        self.input_unsent |= !self.pending.is_empty();
        // More may come from a pipe; what a person has not typed is not lost.
        self.input_unsent |= self.writer_gone
            && self
                .input
                .as_ref()
                .is_some_and(|input| !input.is_terminal());
        self.input = None;
        self.pending.clear();
    }

    fn close_outcome(&self) -> CloseOutcome {
        let said = self.connection.close_notify_sent() && self.connection.outgoing().is_empty();
        match self.ending {
            _ if !said || self.writer_gone => CloseOutcome::PeerGone,
            Some(Ending::CloseNotify) => CloseOutcome::Complete,
            Some(Ending::Reset) => CloseOutcome::PeerGone,
            Some(Ending::Premature) | None => CloseOutcome::SentOnly,
        }
    }
}
