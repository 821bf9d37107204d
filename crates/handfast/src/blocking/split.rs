//! A blocking stream as two halves, for a thread that reads and one that writes.
//!
//! Neither waits for the other: what is held while the channel is waited for is the right to send, never the
//! connection. Each half closes what is its own.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::transfer::{Armed, Arrival, Deadline, Sent, io_error, unless_accepted, would_block};
use super::{Stream, ending_as_io, half_close};
use crate::channel::Channel;
use crate::close::Ending;
use crate::connection::{Connection, ReadOutcome};
use crate::context::Timeouts;
use crate::error::{Error, NetworkCause};
use crate::phase::Phase;
use crate::report::{Report, Traffic};

/// How much is read from the channel at once: as many records as a stream takes.
const READ_SIZE: usize = crate::buffers::BUFFER_SIZE;

/// What both halves share.
#[derive(Debug)]
struct Shared {
    connection: Mutex<Connection>,
    /// Held by the half that sends; the bytes are those that are being sent.
    sending: Mutex<Vec<u8>>,
    report: Arc<Report>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<C: Channel> Stream<C> {
    /// Two halves of the stream, for two threads: one reads while the other writes. They end one by one:
    /// [`WriteHalf::finish`] ends our direction, and the read half finds the end of the peer's;
    /// [`ReadHalf::unsplit`] makes a stream of them again, to [`close`](Stream::close) it.
    ///
    /// `reading` is the channel once more, to read from, as `TcpStream::try_clone` gives it. What was written before and
    /// not flushed leaves with the next flush of the write half. Over non-blocking channels, `WouldBlock` passes through,
    /// and the call can be repeated.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::io::Write;
    /// # let socket = std::net::TcpStream::connect("example.org:443")?;
    /// # let stream = handfast::ClientContext::builder().build()?.secure("example.org", socket)?;
    /// let again = stream.channel().try_clone()?;
    /// let (mut reading, mut writing) = stream.into_split(again);
    /// let reader = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    /// writing.write_all(b"hello\n")?;
    /// writing.finish()?; // close_notify, FIN
    /// reader.join().expect("no panic")?; // until the peer's close_notify
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_split(self, reading: C) -> (ReadHalf<C>, WriteHalf<C>) {
        let Self {
            channel,
            connection,
            timeouts,
            report,
            armed,
        } = self;
        let shared = Arc::new(Shared {
            connection: Mutex::new(connection),
            sending: Mutex::default(),
            report,
        });
        let sender = |channel, armed| Sender {
            channel,
            shared: Arc::clone(&shared),
            armed,
            timeouts,
        };
        let read = ReadHalf {
            // What is set on one channel may not be set on the other.
            sender: sender(reading, Armed::default()),
            room: Vec::new(),
            answers: 0,
        };
        let write = WriteHalf {
            sender: Some(sender(channel, armed)),
            finished: false,
        };
        (read, write)
    }
}

/// The half of a [`Stream`] that reads: as the stream does, and ends as it does.
#[derive(Debug)]
pub struct ReadHalf<C: Channel> {
    sender: Sender<C>,
    room: Vec<u8>,
    /// How many bytes the protocol itself has to send since.
    answers: usize,
}

impl<C: Channel> ReadHalf<C> {
    /// What the handshake agreed on, and who the peer is.
    pub fn report(&self) -> &Arc<Report> {
        &self.sender.shared.report
    }

    /// How the peer's direction ended, once everything before the end was read.
    pub fn ending(&self) -> Option<Ending> {
        self.sender.connection().ending()
    }

    /// Bytes and records so far, in both directions.
    pub fn traffic(&self) -> Traffic {
        self.sender.connection().traffic()
    }

    /// Reads once; the peer's end is a value here, whichever it was.
    ///
    /// # Errors
    /// A protocol error, an alert, a time-out; never an end.
    pub fn read_some(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, Error> {
        let mut deadline = None;
        loop {
            match self.read_received(buffer) {
                Ok(ReadOutcome::WouldBlock) => self.send_answers(),
                Ok(found) => return Ok(found),
                Err(error) => {
                    // The alert tells the peer why; whether it arrives changes nothing for us.
                    let _ = self.sender.send_if_free(usize::MAX, Phase::Response);
                    return Err(error);
                }
            }
            let limit = self.sender.timeouts.read;
            let deadline = *deadline.get_or_insert_with(|| Deadline::total(limit));
            if !self.receive(deadline)? {
                return Ok(ReadOutcome::WouldBlock);
            }
        }
    }

    /// The stream as it was.
    ///
    /// # Errors
    /// The halves are of two streams: both come back.
    pub fn unsplit(self, mut write: WriteHalf<C>) -> Result<Stream<C>, Box<(Self, WriteHalf<C>)>> {
        let is_same = |sender: &Sender<C>| Arc::ptr_eq(&sender.shared, &self.sender.shared);
        let Some(sender) = write.sender.take_if(|sender| is_same(sender)) else {
            return Err(Box::new((self, write)));
        };
        let Sender {
            channel,
            shared,
            armed,
            timeouts,
        } = sender;
        drop(self);
        match Arc::try_unwrap(shared) {
            Ok(shared) => Ok(Stream {
                channel,
                connection: shared
                    .connection
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner),
                timeouts,
                report: shared.report,
                armed,
            }),
            Err(_) => unreachable!("two halves, and no third"),
        }
    }

    /// Reads what has been received, and counts what the protocol itself has to say to it: a refusal to renegotiate, an
    /// answer to a key update.
    fn read_received(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, Error> {
        let mut connection = lock(&self.sender.shared.connection);
        let before = connection.outgoing().len();
        let mut read = connection.read(buffer);
        if let Ok(ReadOutcome::WouldBlock) = read
            && let Err(error) = connection.answer_key_update()
        {
            read = Err(error);
        }
        self.answers += connection.outgoing().len().saturating_sub(before);
        read
    }

    /// Sends the answers, for a peer that waits for them while nothing is written. It never waits for more to be sent
    /// than that: two ends whose readers send what is written could wait for each other.
    fn send_answers(&mut self) {
        if self.answers == 0 {
            return;
        }
        let sent = self.sender.send_if_free(self.answers, Phase::Response);
        // What became of the channel is found by reading.
        if !sent.is_err_and(|error| would_block(&error)) {
            self.answers = 0;
        }
    }

    /// One read of the channel, without the connection; `false` when a non-blocking one has nothing.
    fn receive(&mut self, deadline: Deadline) -> Result<bool, Error> {
        self.room.resize(READ_SIZE, 0);
        let Sender {
            channel,
            shared,
            armed,
            ..
        } = &mut self.sender;
        let received = armed.receive(channel, &mut self.room, deadline, Phase::Response)?;
        let mut connection = lock(&shared.connection);
        match received {
            Arrival::Bytes(count) => connection.receive(self.room.get(..count).unwrap_or_default()),
            Arrival::End => connection.received_end(),
            Arrival::Reset => connection.received_reset(),
            Arrival::Nothing => return Ok(false),
        }
        Ok(true)
    }
}

impl<C: Channel> io::Read for ReadHalf<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.read_some(buffer)? {
            ReadOutcome::Data(count) => Ok(count),
            ReadOutcome::End(ending) => ending_as_io(ending, self.traffic().plaintext_received),
            ReadOutcome::WouldBlock => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// The half of a [`Stream`] that writes: buffered, as the stream does.
///
/// Dropped without [`finish`](Self::finish), it ends our direction without `close_notify`: what broke off must look
/// broken off to the peer.
#[derive(Debug)]
pub struct WriteHalf<C: Channel> {
    /// `None` once it has become a stream again.
    sender: Option<Sender<C>>,
    finished: bool,
}

impl<C: Channel> WriteHalf<C> {
    /// Ends our direction: flush, `close_notify`, FIN. The read half goes on. A second call does nothing.
    ///
    /// # Errors
    /// As writing.
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.finished {
            return Ok(());
        }
        let sender = self.sender()?;
        sender.connection().send_close_notify()?;
        sender.send(Phase::Close)?;
        half_close(&mut sender.channel)?;
        self.finished = true;
        Ok(())
    }

    fn sender(&mut self) -> Result<&mut Sender<C>, Error> {
        let gone = || io_error(Phase::Request, io::ErrorKind::NotConnected.into());
        self.sender.as_mut().ok_or_else(gone)
    }
}

impl<C: Channel> io::Write for WriteHalf<C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Ok(0);
        }
        let sender = self.sender()?;
        loop {
            let (count, sends) = {
                let mut connection = sender.connection();
                let count = connection.write(slices)?;
                (count, count == 0 || connection.wants_write())
            };
            if sends {
                unless_accepted(count, sender.send(Phase::Request))?;
            }
            if count > 0 {
                return Ok(count);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let sender = self.sender()?;
        sender.connection().flush()?;
        Ok(sender.send(Phase::Request)?)
    }
}

impl<C: Channel> Drop for WriteHalf<C> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.as_mut().filter(|_| !self.finished) {
            let _ = sender.channel.half_close();
        }
    }
}

/// One end of the channel, and what is shared.
#[derive(Debug)]
struct Sender<C> {
    channel: C,
    shared: Arc<Shared>,
    armed: Armed,
    timeouts: Timeouts,
}

impl<C: Channel> Sender<C> {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        lock(&self.shared.connection)
    }

    /// Sends until nothing is left. A half that finds the right to send taken may leave: its holder looks once more after
    /// it has given it back.
    fn send(&mut self, phase: Phase) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        loop {
            self.drain(&mut lock(&shared.sending), usize::MAX, phase)?;
            if !self.connection().wants_write() {
                return Ok(());
            }
        }
    }

    /// Sends at most `bytes_max`, unless the other half is at it.
    fn send_if_free(&mut self, bytes_max: usize, phase: Phase) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let free = shared.sending.try_lock();
        match free {
            Ok(mut bytes) => self.drain(&mut bytes, bytes_max, phase),
            Err(TryLockError::Poisoned(poisoned)) => {
                self.drain(&mut poisoned.into_inner(), bytes_max, phase)
            }
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn drain(&mut self, bytes: &mut Vec<u8>, bytes_max: usize, phase: Phase) -> Result<(), Error> {
        let mut deadline = Deadline::without_progress(self.timeouts.write);
        let mut left = bytes_max;
        loop {
            bytes.clear();
            {
                let connection = lock(&self.shared.connection);
                let outgoing = connection.outgoing();
                bytes.extend_from_slice(outgoing.get(..left).unwrap_or(outgoing));
            }
            if bytes.is_empty() {
                return self.channel.flush().map_err(|error| io_error(phase, error));
            }
            left -= bytes.len();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                match self
                    .armed
                    .send(&mut self.channel, rest, &mut deadline, phase)?
                {
                    Sent::Bytes(count) => {
                        rest = rest.get(count..).unwrap_or_default();
                        lock(&self.shared.connection).sent(count);
                    }
                    // The read half finds what the peer's last words were.
                    Sent::Reset => return Err(Error::new(phase, NetworkCause::Reset)),
                }
            }
        }
    }
}
