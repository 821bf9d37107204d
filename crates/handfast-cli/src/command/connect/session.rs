//! The session: terminal and connection on one thread, with one `poll`.
//!
//! Each step moves as much as possible (plaintext to standard output, input into records, records to
//! the wire) and then waits for the rest. Data is read only if it can be passed on: standard input only
//! while earlier input is being sent, the wire only while standard output is being written. So
//! neither direction needs an unbounded buffer, and neither can block the other.

use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use handfast::{CloseOutcome, Connection, Ending, Error, Phase, ReadOutcome, Traffic};
use rustix::event::{PollFd, PollFlags};

use super::channel::{PolledChannel, Received, Sent};
use super::negotiate::failed;
use super::signals::Signals;
use super::stdio::{Input, Output, Typed, Written};
use crate::poll;

/// One read of standard input: the capacity of a pipe.
const INPUT_BYTES: usize = 64 * 1024;

/// The limit on pending records while more input is read: enough to keep the wire busy during the next read.
const OUTGOING_MAX: usize = 64 * 1024;

/// One read of plaintext: several full records.
const ARRIVED_BYTES: usize = 128 * 1024;

/// A record with only an alert is never longer: header, alert, content type, nonce, tag, and a MAC with padding
/// in the worst suite of TLS 1.2.
const ALERT_RECORD_MAX: usize = 96;

/// A peer that has ended its direction may still read ours, so input is still sent. After one second without
/// input, the session ends.
const INPUT_SILENCE: Duration = Duration::from_secs(1);

/// Most servers treat the end of our direction as the end of the connection, and no longer answer.
/// So `close_notify` for the end of a short input is sent only after the answers: when no more data has arrived
/// for this long ...
const ANSWER_SILENCE: Duration = Duration::from_secs(2);

/// ... or no data at all, from a server that may need time before it answers.
pub(super) const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Longer input is a transfer rather than a script, and `close_notify` is sent at once.
const SCRIPT_BYTES_MAX: u64 = 64 * 1024;

/// How long a peer that has ended its direction may read nothing.
const WIRE_SILENCE: Duration = Duration::from_secs(30);

/// After a signal, the session sends `close_notify` and waits this long for the peer's: closing with unread data
/// would reset the connection and discard our last data.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// The result of a session.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How the peer's direction ended, if it did.
    pub(super) ending: Option<Ending>,
    pub(super) close: CloseOutcome,
    pub(super) traffic: Traffic,
    pub(super) took: Duration,
    pub(super) why: Why,
    /// Input was not sent, because the peer had closed.
    pub(super) input_unsent: bool,
    /// Input was still open after the peer had ended.
    pub(super) input_left_open: bool,
    /// No data had arrived after the end of the input when waiting ended.
    pub(super) unanswered: bool,
}

/// When our direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// With the input.
    AtOnce,
    /// After the answers to a short input.
    AfterAnswers,
    /// After the answers to input of any length: this is a dialogue.
    AfterAllAnswers,
    /// When the peer has ended, too.
    KeepOpen,
}

/// The state of the peer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not awaited.
    NotAwaited,
    /// The input has ended, and no data has arrived since.
    Awaited,
    /// Data has arrived since.
    Coming,
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Why {
    /// Both directions have ended, or the peer has and there is nothing left to send.
    Ended,
    /// A signal.
    Interrupted,
    /// Standard output was closed.
    OutputClosed,
    /// TLS or the channel failed.
    Failed(Error),
    Input(io::Error),
    Output(io::Error),
}

/// An error in a step.
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

/// Bytes between a read and the writes.
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

    /// The whole buffer, which must be empty.
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
    channel: &'s mut PolledChannel,
    connection: &'s mut Connection,
    signals: &'s Signals,
    /// `None` once it has ended or is no longer needed.
    input: Option<Input>,
    output: Output,
    closing: Closing,
    answer: Answer,
    /// The number of bytes of input.
    typed: u64,
    unanswered: bool,
    /// Input to be written into records.
    pending: Buffer,
    /// Plaintext to be written to standard output.
    arrived: Buffer,
    ending: Option<Ending>,
    /// The peer no longer reads.
    writer_gone: bool,
    half_closed: bool,
    /// Set once the session is to end: further data is discarded.
    leaving: Option<(Instant, Leaving)>,
    /// The time limit for leaving has passed.
    given_up: bool,
    /// The time of the last progress.
    moved: Instant,
    input_unsent: bool,
    input_left_open: bool,
}

#[derive(Debug, Clone, Copy)]
enum Leaving {
    Interrupted,
    OutputClosed,
}

/// The result of a wait.
#[derive(Debug, Default)]
struct Ready {
    signal: bool,
    channel: bool,
    input: bool,
    output_gone: bool,
}

impl<'s> Session<'s> {
    /// [`Closing::KeepOpen`] also means that our direction stays open when the peer has ended and the
    /// input has not.
    pub(super) fn new(
        channel: &'s mut PolledChannel,
        connection: &'s mut Connection,
        signals: &'s Signals,
        input: Input,
        closing: Closing,
    ) -> Self {
        Self {
            channel,
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
            match self.step() {
                Ok(false) => {}
                Ok(true) => {
                    break match self.leaving {
                        None => Why::Ended,
                        Some((_, Leaving::Interrupted)) => Why::Interrupted,
                        Some((_, Leaving::OutputClosed)) => Why::OutputClosed,
                    };
                }
                Err(Fault::Tls(error)) => {
                    // Send the alert, if that does not block.
                    let _ = self.channel.send(self.connection.outgoing());
                    break Why::Failed(error);
                }
                // No close_notify: the peer did not receive everything.
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

    /// Moves data, then waits; `true` once the session is over.
    fn step(&mut self) -> Result<bool, Fault> {
        self.deliver()?;
        self.offer()?;
        self.transmit()?;
        if self.is_over() {
            return Ok(true);
        }
        let Some(ready) = self.wait()? else {
            self.time_out();
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
        if ready.channel {
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
                ReadOutcome::Data(count) => {
                    self.arrived.fill(count);
                    if self.answer == Answer::Awaited {
                        self.answer = Answer::Coming;
                    }
                }
                ReadOutcome::WouldBlock => return Ok(()),
                ReadOutcome::End(ending) => {
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
            // At a terminal, end the session, since a user would not notice the end. Other input is
            // still sent: the peer may still read.
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
                .channel
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
            self.channel.half_close();
            self.half_closed = true;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Fault> {
        match self
            .channel
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
                // At a terminal, the user has read the answers before ending the input.
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

    /// Whether to wait for answers after the end of the input.
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
            && let Some(reader) = self.channel.reader()
        {
            let fd = PollFd::from_borrowed_fd(reader, PollFlags::IN);
            ask(|ready| ready.channel = true, fd);
        }
        let outgoing = self.connection.outgoing().len();
        if outgoing > 0
            && !self.writer_gone
            && let Some(writer) = self.channel.writer()
        {
            // The next step uses the room.
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
        let in_time = poll::wait(&mut fds, self.deadline()).map_err(failed(Phase::Response))?;
        let mut ready = Ready::default();
        for (kind, _) in kinds.iter().zip(&fds).filter(|(_, fd)| poll::is_ready(fd)) {
            kind(&mut ready);
        }
        Ok(in_time.then_some(ready))
    }

    /// The deadline for progress. There is none while neither side has ended, or while standard output is
    /// blocked.
    fn deadline(&self) -> Option<Instant> {
        if let Some((until, _)) = self.leaving {
            return Some(until);
        }
        if self.ending.is_none() {
            // Pending data in either direction is not silence.
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
            // With --keep-open, only the end of the input ends our direction.
            self.input
                .as_ref()
                .filter(|_| !self.keeps_open())
                .map(|_| self.moved + INPUT_SILENCE)
        }
    }

    fn time_out(&mut self) {
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

    /// The peer no longer reads. Data that it sent before can still be read.
    fn peer_gone(&mut self) {
        self.input_unsent |= self.connection.outgoing().len() > ALERT_RECORD_MAX;
        self.writer_gone = true;
        self.drop_input();
    }

    fn drop_input(&mut self) {
        self.input_unsent |= !self.pending.is_empty();
        // A pipe may have more input; at a terminal, nothing is lost.
        self.input_unsent |= self.writer_gone
            && self
                .input
                .as_ref()
                .is_some_and(|input| !input.is_terminal());
        self.input = None;
        self.pending.clear();
    }

    fn close_outcome(&self) -> CloseOutcome {
        let is_sent = self.connection.close_notify_sent() && self.connection.outgoing().is_empty();
        match self.ending {
            _ if !is_sent || self.writer_gone => CloseOutcome::PeerGone,
            Some(Ending::CloseNotify) => CloseOutcome::Complete,
            Some(Ending::Reset) => CloseOutcome::PeerGone,
            Some(Ending::Premature) | None => CloseOutcome::SentOnly,
        }
    }
}
