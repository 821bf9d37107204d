//! Standard output for transfers that go on at once: it gets their bodies in the order of the URLs. What comes before its turn
//! waits, in memory as long as it is small, else in a temporary file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Seek as _, Write};
use std::rc::Rc;

use tempfile::SpooledTempFile;

/// How much of a body waits in memory: most of the small ones that are worth fetching at once.
const IN_MEMORY: usize = 64 * 1024;

/// How far the others may be ahead of the first that is not over. Bounds what waits.
const AHEAD: usize = 256;

/// No transfer begins while more than this waits: where temporary files are in memory, a machine can spare so much. Those that
/// go on already are not held back: over HTTP/2 one that is not read holds up the others of its connection.
const WAITING_BYTES: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
pub(super) struct Turns(Rc<RefCell<State>>);

struct State {
    out: Box<dyn Write>,
    /// The transfer whose turn it is.
    now: usize,
    /// What the later ones have written, and which of them are over.
    waiting: BTreeMap<usize, Waiting>,
    /// How many bytes that are.
    waiting_bytes: u64,
}

#[derive(Default)]
struct Waiting {
    written: Option<SpooledTempFile>,
    bytes: u64,
    is_over: bool,
}

impl Turns {
    pub(super) fn new(out: Box<dyn Write>) -> Self {
        Self(Rc::new(RefCell::new(State {
            out,
            now: 0,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
        })))
    }

    /// May the transfer with this number begin?
    pub(super) fn admits(&self, number: usize) -> bool {
        let state = self.0.borrow();
        number < state.now.saturating_add(AHEAD)
            && (number == state.now || state.waiting_bytes <= WAITING_BYTES)
    }

    /// What the transfer with this number writes to.
    pub(super) fn writer(&self, number: usize) -> Turn {
        Turn {
            turns: self.clone(),
            number,
        }
    }

    /// The transfer with this number writes no more. Gives the turn to the next, and writes what waited; `after` is told of each
    /// transfer whose turn is over.
    pub(super) fn end(&self, number: usize, mut after: impl FnMut(usize)) -> io::Result<()> {
        let state = &mut *self.0.borrow_mut();
        state.waiting.entry(number).or_default().is_over = true;
        while let Some(mut waiting) = state.waiting.remove(&state.now) {
            if let Some(mut written) = waiting.written.take() {
                copy(&mut written, &mut state.out)?;
                let bytes = std::mem::take(&mut waiting.bytes);
                state.waiting_bytes = state.waiting_bytes.saturating_sub(bytes);
            }
            if !waiting.is_over {
                state.waiting.insert(state.now, waiting);
                break;
            }
            after(state.now);
            state.now += 1;
        }
        Ok(())
    }
}

fn copy(from: &mut SpooledTempFile, out: &mut dyn Write) -> io::Result<()> {
    from.rewind()?;
    let mut buffer = vec![0; IN_MEMORY];
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return out.flush();
        }
        out.write_all(buffer.get(..count).unwrap_or_default())?;
    }
}

/// One transfer's way to standard output.
pub(super) struct Turn {
    turns: Turns,
    number: usize,
}

impl Write for Turn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let state = &mut *self.turns.0.borrow_mut();
        if state.now == self.number {
            return state.out.write(bytes);
        }
        let waiting = state.waiting.entry(self.number).or_default();
        let written = &mut waiting.written;
        let written = written.get_or_insert_with(|| SpooledTempFile::new(IN_MEMORY));
        let count = written.write(bytes)?;
        waiting.bytes = waiting.bytes.saturating_add(count as u64);
        state.waiting_bytes = state.waiting_bytes.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let state = &mut *self.turns.0.borrow_mut();
        match state.now == self.number {
            true => state.out.flush(),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was written, seen from outside.
    #[derive(Clone, Default)]
    struct Seen(Rc<RefCell<Vec<u8>>>);

    impl Write for Seen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_written_early_comes_in_order() {
        let seen = Seen::default();
        let turns = Turns::new(Box::new(seen.clone()));
        let mut writers: Vec<_> = (0..4).map(|number| turns.writer(number)).collect();
        let mut put =
            |number: usize, text: &str| writers[number].write_all(text.as_bytes()).unwrap();
        let now = || String::from_utf8(seen.0.borrow().clone()).unwrap();
        put(2, "2");
        put(0, "0");
        put(1, "1");
        assert_eq!(now(), "0");
        turns.end(2, |_| {}).unwrap();
        // It writes nothing.
        turns.end(3, |_| {}).unwrap();
        assert_eq!(now(), "0");
        put(0, "0");
        turns.end(0, |_| {}).unwrap();
        assert_eq!(now(), "001");
        put(1, "1");
        turns.end(1, |_| {}).unwrap();
        assert_eq!(now(), "00112");
        assert!(turns.admits(4 + AHEAD - 1) && !turns.admits(4 + AHEAD));
    }

    #[test]
    fn a_large_body_waits_on_the_disk() {
        let seen = Seen::default();
        let turns = Turns::new(Box::new(seen.clone()));
        let body = vec![b'x'; 3 * IN_MEMORY];
        turns.writer(1).write_all(&body).unwrap();
        turns.end(0, |_| {}).unwrap();
        assert_eq!(*seen.0.borrow(), body);
    }

    #[test]
    fn none_begins_while_much_waits() {
        let turns = Turns::new(Box::new(io::sink()));
        let mut later = turns.writer(1);
        let piece = vec![b'x'; 1024 * 1024];
        while turns.admits(2) {
            later.write_all(&piece).unwrap();
        }
        let waiting = turns.0.borrow().waiting_bytes;
        assert_eq!(waiting, WAITING_BYTES + piece.len() as u64);
        // The one that the others wait for.
        assert!(turns.admits(0));
        turns.end(0, |_| {}).unwrap();
        assert!(turns.admits(2));
        assert_eq!(turns.0.borrow().waiting_bytes, 0);
    }
}
