//! Who fetches which range: what the exchanges of one file know of each other, and where what they receive is written.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::event::{NotSegmented, SegmentEvent};
use crate::client::download::{Download, Saving};
use crate::client::error::{Error, Truncation};
use crate::client::response::Response;

/// So much of a range is gathered before it is written: a write costs for the call and for each page.
const GATHERED_BYTES: usize = 256 * 1024;

pub(super) struct Board<'b>(Mutex<State<'b>>);

type Tell<'b> = &'b mut (dyn FnMut(SegmentEvent<'_>) + Send);

struct State<'b> {
    download: &'b mut Download,
    tell: Tell<'b>,
    pieces: Vec<Piece>,
    /// The piece that each worker fetches; the first response is worker 0.
    current: Vec<Option<usize>>,
    total: u64,
    /// How many bytes were there before.
    before: u64,
    /// Up to where the first response came, if it has ended.
    first_ended: Option<u64>,
    outcome: Outcome,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Outcome {
    /// How many bytes have come.
    pub(super) received: u64,
    pub(super) is_complete: bool,
    /// Nothing can be written.
    pub(super) fatal: Option<Error>,
    /// Why the ranges are not believed.
    pub(super) distrusted: Option<NotSegmented>,
    /// Why a range ended early.
    pub(super) lost: Option<Error>,
    pub(super) is_first_lost: bool,
    /// Why a range was not sent: by the server's answer, or because there was none.
    pub(super) refused: Option<Result<NotSegmented, Error>>,
}

struct Piece {
    range: Range<u64>,
    /// Up to where it was received, and what of that is not written yet.
    at: u64,
    gathered: Vec<u8>,
    status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// It is to be requested.
    Open,
    /// It has been requested.
    Asked,
    /// It comes, or has come, or has ended early.
    Begun,
}

/// Does an exchange go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    Further,
    Reached,
}

impl<'b> Board<'b> {
    /// For these pieces of a file of `total` bytes. The first one comes.
    pub(super) fn new(
        download: &'b mut Download,
        pieces: Vec<Range<u64>>,
        total: u64,
        tell: Tell<'b>,
    ) -> Self {
        let lacking: u64 = pieces.iter().map(|range| range.end - range.start).sum();
        let pieces = pieces.into_iter().enumerate().map(|(number, range)| Piece {
            at: range.start,
            range,
            gathered: Vec::new(),
            status: if number == 0 {
                Status::Begun
            } else {
                Status::Open
            },
        });
        Self(Mutex::new(State {
            download,
            tell,
            pieces: pieces.collect(),
            current: vec![Some(0)],
            total,
            before: total.saturating_sub(lacking),
            first_ended: None,
            outcome: Outcome::default(),
        }))
    }

    /// The next range for this worker.
    pub(super) fn take(&self, worker: usize) -> Option<(usize, Range<u64>)> {
        let state = &mut *self.state();
        if state.outcome.is_over() {
            return None;
        }
        let open = |piece: &Piece| piece.status == Status::Open;
        let number = state.pieces.iter().position(open)?;
        let piece = state.pieces.get_mut(number)?;
        piece.status = Status::Asked;
        if state.current.len() <= worker {
            state.current.resize(worker + 1, None);
        }
        if let Some(current) = state.current.get_mut(worker) {
            *current = Some(number);
        }
        Some((number, piece.range.clone()))
    }

    /// A worker has ended.
    pub(super) fn gone(&self, worker: usize) {
        let state = &mut *self.state();
        if worker == 0 {
            state.end_first();
        }
        if let Some(current) = state.current.get_mut(worker) {
            *current = None;
        }
    }

    /// Is the worker of no more use: another has taken its range, or all of it is over?
    pub(super) fn is_cancelled(&self, worker: usize) -> bool {
        let state = self.state();
        if state.outcome.fatal.is_some() || worker == 0 {
            return state.outcome.fatal.is_some();
        }
        let current = state.current.get(worker).copied().flatten();
        let is_taken = current.is_some() && state.first() == current;
        is_taken || state.outcome.distrusted.is_some()
    }

    /// The head of a response has come that should be this range. Is it to be read?
    pub(super) fn accept(&self, number: usize, response: &Response) -> bool {
        let state = &mut *self.state();
        if !state.download.is_same_version(response) {
            state.distrust(NotSegmented::Disagrees("the file has changed".to_owned()));
            return false;
        }
        let is_over = state.outcome.is_over();
        match state.pieces.get_mut(number) {
            Some(piece) if piece.status == Status::Asked && !is_over => {
                piece.status = Status::Begun;
                true
            }
            _ => false,
        }
    }

    /// The server has not sent this range: another worker may ask for it.
    pub(super) fn refused(&self, number: usize, why: Result<NotSegmented, Error>) {
        let state = &mut *self.state();
        let Some(piece) = state.pieces.get_mut(number) else {
            return;
        };
        if piece.status == Status::Asked {
            piece.status = Status::Open;
        }
        let range = piece.range.clone();
        let told = match &why {
            Ok(why) => why.clone(),
            Err(error) => NotSegmented::Failed(error.to_string()),
        };
        (state.tell)(SegmentEvent::Refused { range, why: &told });
        state.outcome.refused.get_or_insert(why);
    }

    /// What the server sends is not what it should be.
    pub(super) fn distrust(&self, why: NotSegmented) {
        self.state().distrust(why);
    }

    /// A piece of the first response.
    pub(super) fn first_received(&self, mut bytes: &[u8]) -> Goal {
        let state = &mut *self.state();
        loop {
            let Some(number) = state.first() else {
                return Goal::Reached;
            };
            let room = state.room(number);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if !state.put(number, now) {
                return Goal::Reached;
            }
            if now.len() < room {
                return Goal::Further;
            }
            // The end of the range is reached.
            if !state.flush(number) || !state.first_goes_on(number) {
                return Goal::Reached;
            }
            if later.is_empty() {
                return Goal::Further;
            }
            bytes = later;
        }
    }

    /// The first response has ended.
    pub(super) fn first_ended(&self, error: Option<Error>) {
        let state = &mut *self.state();
        state.end_first();
        if let Some(error) = error {
            state.outcome.is_first_lost = true;
            state.outcome.lost.get_or_insert(error);
        }
    }

    /// A piece of a range.
    pub(super) fn received(&self, number: usize, bytes: &[u8]) -> Goal {
        let state = &mut *self.state();
        if state.outcome.is_over() {
            return Goal::Reached;
        }
        if state.room(number) < bytes.len() {
            let problem = "more bytes than were requested".to_owned();
            state.distrust(NotSegmented::Disagrees(problem));
            return Goal::Reached;
        }
        match state.put(number, bytes) {
            true => Goal::Further,
            false => Goal::Reached,
        }
    }

    /// A range has ended.
    pub(super) fn ended(&self, number: usize, error: Option<Error>) {
        let state = &mut *self.state();
        state.flush(number);
        let is_short = state.room(number) > 0;
        let lost = error.or_else(|| is_short.then(less_than_requested));
        if let Some(error) = lost {
            state.outcome.lost.get_or_insert(error);
        }
    }

    /// What there is now, to be kept.
    pub(super) fn saving(&self) -> Option<Saving> {
        let state = &mut *self.state();
        state.flush_all();
        state.download.saving()
    }

    pub(super) fn outcome(self) -> Outcome {
        let mut state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.flush_all();
        let there = state.download.written();
        state.outcome.received = there.saturating_sub(state.before);
        state.outcome.is_complete = there == state.total;
        state.outcome
    }

    fn state(&self) -> MutexGuard<'_, State<'b>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A range whose response was complete by its framing, and had less.
fn less_than_requested() -> Error {
    Error::Truncated(Box::new(Truncation {
        framing: None,
        expected: None,
        received: 0,
        problem: Some("the server sent less than was requested".to_owned()),
        ending: None,
        failure: None,
    }))
}

impl Outcome {
    fn is_over(&self) -> bool {
        self.fatal.is_some() || self.distrusted.is_some()
    }
}

impl State<'_> {
    /// The piece that the first response has come to.
    fn first(&self) -> Option<usize> {
        self.current.first().copied().flatten()
    }

    fn end_first(&mut self) {
        let Some(number) = self.first() else { return };
        self.flush(number);
        let reached = self.pieces.get(number).map_or(0, |piece| piece.at);
        self.first_ended.get_or_insert(reached);
    }

    /// How much of a range lacks.
    fn room(&self, number: usize) -> usize {
        let piece = self.pieces.get(number);
        let lacking = piece.map_or(0, |piece| piece.range.end.saturating_sub(piece.at));
        usize::try_from(lacking).unwrap_or(usize::MAX)
    }

    /// Can it be written?
    fn put(&mut self, number: usize, bytes: &[u8]) -> bool {
        let Some(piece) = self.pieces.get_mut(number) else {
            return false;
        };
        (self.tell)(SegmentEvent::Received { piece: bytes });
        piece.at += bytes.len() as u64;
        piece.gathered.extend_from_slice(bytes);
        piece.gathered.len() < GATHERED_BYTES || self.flush(number)
    }

    fn flush(&mut self, number: usize) -> bool {
        let Some(piece) = self.pieces.get_mut(number) else {
            return false;
        };
        if piece.gathered.is_empty() {
            return true;
        }
        let from = piece.at - piece.gathered.len() as u64;
        let written = self.download.write_at(from, &piece.gathered);
        piece.gathered.clear();
        match written {
            Ok(()) => true,
            Err(error) => {
                self.outcome.fatal.get_or_insert(error);
                false
            }
        }
    }

    fn flush_all(&mut self) {
        for number in 0..self.pieces.len() {
            self.flush(number);
        }
    }

    /// The first response has come to the end of a range. It goes on with the next one if that has not begun to come.
    fn first_goes_on(&mut self, number: usize) -> bool {
        let Some(end) = self.pieces.get(number).map(|piece| piece.range.end) else {
            return false;
        };
        let next = number + 1;
        match self.pieces.get_mut(next) {
            Some(piece) if piece.range.start == end && piece.status != Status::Begun => {
                piece.status = Status::Begun;
                if let Some(current) = self.current.first_mut() {
                    *current = Some(next);
                }
                true
            }
            // Its own end is still to come.
            _ => end == self.total,
        }
    }

    /// What the others send is not believed, nor what they have sent.
    fn distrust(&mut self, why: NotSegmented) {
        if self.outcome.distrusted.is_some() {
            return;
        }
        let first = self.first().filter(|_| self.first_ended.is_none());
        if let Some(number) = first {
            self.flush(number);
        }
        for (number, piece) in self.pieces.iter_mut().enumerate() {
            if first != Some(number) {
                piece.gathered.clear();
            }
        }
        let going_on = first.and_then(|number| self.pieces.get_mut(number));
        let reached = match (going_on, self.first_ended) {
            (Some(piece), _) => {
                piece.range.end = self.total;
                (self.tell)(SegmentEvent::OneTransfer { why: &why });
                piece.at
            }
            (None, reached) => reached.unwrap_or(0),
        };
        self.download.keep_first(reached);
        self.outcome.distrusted = Some(why);
    }
}
