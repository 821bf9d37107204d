//! From the threads that serve to a file, a terminal or the journal: each thread writes its lines into a sheet of its
//! own, and one thread for each output collects the sheets and writes them.
//!
//! A line costs the serving thread its text and an uncontended lock: it makes no system call, wakes no other thread
//! while lines come fast, and never waits for a disk. After a pause the first line is written at once; what comes
//! within the next [`MOMENT`] is written together. What is written is complete lines, in the order of each thread.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use super::target::Target;

/// The longest time that a line waits for those after it. Twenty writes a second cost nothing that can be measured,
/// and the delay is too short to be noticed.
const MOMENT: Duration = Duration::from_millis(50);

/// With so many bytes a sheet is written before the moment is over: it still fits into the second-level cache.
const FULL: usize = 128 * 1024;

/// With so many bytes of one thread waiting, because the output takes none, further lines are dropped and counted:
/// 40,000 lines, a second's worth of a thread under full load.
const WAITING_MAX: usize = 4 * 1024 * 1024;

/// The memory that a sheet keeps after a burst.
const KEPT: usize = 256 * 1024;

/// Where lines go. Clones write to the same place.
#[derive(Clone)]
pub(super) struct Output {
    shared: Arc<Shared>,
}

/// The writing thread.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// How long to wait for the last lines.
    last_wait: Duration,
}

struct Shared {
    /// Distinguishes outputs in what each thread remembers.
    number: u64,
    /// One for each thread that has written.
    sheets: Mutex<Vec<Arc<Sheet>>>,
    /// The writing thread, to be woken.
    writer: OnceLock<Thread>,
    /// It waits for the first line after a pause.
    asleep: AtomicBool,
    reopen: AtomicBool,
    ending: AtomicBool,
    /// Lines that were dropped and are not reported in the output yet.
    dropped: AtomicU64,
    /// Lines that were lost since the start, wherever.
    lost: AtomicU64,
}

#[derive(Default)]
struct Sheet {
    text: Mutex<Vec<u8>>,
}

thread_local! {
    /// This thread's sheets, by the number of their output.
    static SHEETS: RefCell<Vec<(u64, Arc<Sheet>)>> = const { RefCell::new(Vec::new()) };
}

/// An output to `target`, and what will write it: what is put before that is kept.
pub(super) fn prepare(name: &str, target: impl Target, last_wait: Duration) -> (Output, Waiting) {
    static OUTPUTS: AtomicU64 = AtomicU64::new(0);
    let shared = Arc::new(Shared {
        number: OUTPUTS.fetch_add(1, Ordering::Relaxed),
        sheets: Mutex::default(),
        writer: OnceLock::new(),
        asleep: AtomicBool::new(false),
        reopen: AtomicBool::new(false),
        ending: AtomicBool::new(false),
        dropped: AtomicU64::new(0),
        lost: AtomicU64::new(0),
    });
    let its = Arc::clone(&shared);
    let output = Output {
        shared: Arc::clone(&shared),
    };
    let waiting = Waiting {
        name: name.into(),
        shared,
        run: Box::new(move || its.run(target)),
        last_wait,
    };
    (output, waiting)
}

/// A writing thread that is still to begin.
pub(super) struct Waiting {
    name: String,
    shared: Arc<Shared>,
    run: Box<dyn FnOnce() + Send>,
    last_wait: Duration,
}

impl Waiting {
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(self) -> io::Result<Writer> {
        let thread = thread::Builder::new().name(self.name).spawn(self.run)?;
        let _ = self.shared.writer.set(thread.thread().clone());
        Ok(Writer {
            shared: self.shared,
            thread,
            last_wait: self.last_wait,
        })
    }
}

impl Output {
    /// Adds a line, or several, by what `make` appends. Nothing is made when too much waits already.
    pub(super) fn put(&self, make: impl FnOnce(&mut Vec<u8>)) {
        let shared = &*self.shared;
        // A thread that ends has nothing more to report.
        let _ = SHEETS.try_with(|sheets| {
            let mut sheets = sheets.borrow_mut();
            let place = sheets
                .iter()
                .position(|(number, _)| *number == shared.number)
                .unwrap_or_else(|| {
                    sheets.push((shared.number, shared.add_sheet()));
                    sheets.len() - 1
                });
            if let Some((_, sheet)) = sheets.get(place) {
                shared.put(sheet, make);
            }
        });
    }

    /// Reopens the target, once what was put before is written.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Lines that were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// It is to write what was put before, and to end.
    pub(super) fn ask_to_end(&self) {
        self.shared.ending.store(true, Ordering::Release);
        self.shared.wake();
    }

    /// Writes what was put before, and ends; if the output takes nothing, it waits until its limit, counted from `began`.
    pub(super) fn finish(self, began: Instant) {
        self.ask_to_end();
        let deadline = began + self.last_wait;
        while !self.thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Shared {
    fn add_sheet(&self) -> Arc<Sheet> {
        let sheet = Arc::new(Sheet::default());
        lock(&self.sheets).push(Arc::clone(&sheet));
        sheet
    }

    fn put(&self, sheet: &Sheet, make: impl FnOnce(&mut Vec<u8>)) {
        let mut text = lock(&sheet.text);
        let before = text.len();
        if before >= WAITING_MAX {
            drop(text);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        make(&mut text);
        let full = before < FULL && text.len() >= FULL;
        drop(text);
        // The writer looks at the sheets once more after it has said that it sleeps: one of the two sees the other.
        if full || (self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst))
        {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn run(&self, mut target: impl Target) {
        let mut spare = Vec::new();
        loop {
            let began = Instant::now();
            let ending = self.ending.load(Ordering::Acquire);
            let reopen = self.reopen.swap(false, Ordering::AcqRel);
            let wrote = self.collect(&mut spare, &mut target);
            if reopen {
                target.reopen();
            }
            match (wrote, ending) {
                (true, true) => {}
                (false, true) => break,
                (true, false) => thread::park_timeout(MOMENT.saturating_sub(began.elapsed())),
                (false, false) => self.sleep(),
            }
        }
        target.end(self.dropped.swap(0, Ordering::Relaxed));
    }

    /// Until there is something to do, or for no reason.
    fn sleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        let is_empty = lock(&self.sheets)
            .iter()
            .all(|sheet| lock(&sheet.text).is_empty());
        let is_asked = self.reopen.load(Ordering::Acquire) || self.ending.load(Ordering::Acquire);
        if is_empty && !is_asked {
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Writes what is on the sheets. Was there anything?
    fn collect(&self, spare: &mut Vec<u8>, target: &mut impl Target) -> bool {
        let sheets = lock(&self.sheets).clone();
        let mut wrote = false;
        for sheet in sheets {
            std::mem::swap(&mut *lock(&sheet.text), spare);
            if !spare.is_empty() {
                wrote = true;
                let lost = target.write(spare, self.dropped.swap(0, Ordering::Relaxed));
                self.lost.fetch_add(lost, Ordering::Relaxed);
                spare.clear();
                spare.shrink_to(KEPT);
            }
        }
        wrote
    }
}

/// A panic while a line was made leaves a part of a line, which is better than no log.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Takes what it is given once the test lets it.
    struct Gate {
        permits: Receiver<()>,
        seen: Arc<Mutex<Vec<u8>>>,
        dropped: Arc<AtomicU64>,
    }

    impl Target for Gate {
        fn write(&mut self, text: &[u8], dropped: u64) -> u64 {
            let _ = self.permits.recv();
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
            lock(&self.seen).extend_from_slice(text);
            0
        }

        fn reopen(&mut self) {
            lock(&self.seen).extend_from_slice(b"reopened\n");
        }

        fn end(&mut self, dropped: u64) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    struct Fixture {
        output: Output,
        writer: Writer,
        permits: SyncSender<()>,
        seen: Arc<Mutex<Vec<u8>>>,
        dropped: Arc<AtomicU64>,
    }

    fn fixture(last_wait: Duration) -> Fixture {
        let (permits, receiver) = sync_channel(1024);
        let (seen, dropped) = (Arc::default(), Arc::default());
        let gate = Gate {
            permits: receiver,
            seen: Arc::clone(&seen),
            dropped: Arc::clone(&dropped),
        };
        let (output, waiting) = prepare("log", gate, last_wait);
        let writer = waiting.start().unwrap();
        Fixture {
            output,
            writer,
            permits,
            seen,
            dropped,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn every_line_of_every_thread_is_written_once_and_in_order() {
        let fixture = fixture(LONG);
        drop(fixture.permits);
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let output = fixture.output.clone();
                thread::spawn(move || {
                    for line in 0..2000 {
                        output.put(|text| {
                            text.extend_from_slice(format!("{thread} {line}\n").as_bytes());
                        });
                        if line % 500 == 0 {
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|one| one.join().unwrap());
        fixture.writer.finish(Instant::now());
        let text = String::from_utf8(lock(&fixture.seen).clone()).unwrap();
        for thread in 0..4 {
            let its: Vec<usize> = text
                .lines()
                .filter_map(|line| line.strip_prefix(&format!("{thread} "))?.parse().ok())
                .collect();
            assert_eq!(its, (0..2000).collect::<Vec<_>>());
        }
        assert_eq!(text.lines().count(), 8000);
    }

    #[test]
    fn a_line_after_a_pause_is_written_without_another() {
        let fixture = fixture(LONG);
        drop(fixture.permits);
        for line in ["one\n", "two\n"] {
            fixture
                .output
                .put(|text| text.extend_from_slice(line.as_bytes()));
            let deadline = Instant::now() + LONG;
            while !lock(&fixture.seen).ends_with(line.as_bytes()) {
                assert!(Instant::now() < deadline);
                thread::yield_now();
            }
        }
        fixture.output.reopen();
        fixture
            .output
            .put(|text| text.extend_from_slice(b"three\n"));
        fixture.writer.finish(Instant::now());
        let text = lock(&fixture.seen).clone();
        assert!(text.starts_with(b"one\ntwo\n"));
        assert!(String::from_utf8(text).unwrap().contains("reopened\n"));
    }

    #[test]
    fn what_a_stalled_output_drops_is_counted_and_memory_is_bounded() {
        const LINES: u64 = 3000;
        let fixture = fixture(LONG);
        let line = [b'x'; 8191];
        for _ in 0..LINES {
            fixture.output.put(|text| {
                text.extend_from_slice(&line);
                text.push(b'\n');
            });
        }
        let lost = fixture.output.lost();
        assert!(lost > 0 && lost < LINES);
        drop(fixture.permits);
        fixture.writer.finish(Instant::now());
        let written = lock(&fixture.seen).len() as u64 / 8192;
        assert_eq!(written + lost, LINES);
        assert_eq!(fixture.dropped.load(Ordering::Relaxed), lost);
        assert!(written * 8192 <= 2 * (WAITING_MAX as u64 + 8192));
    }

    #[test]
    fn an_output_that_takes_nothing_does_not_keep_the_server_from_ending() {
        let fixture = fixture(Duration::from_millis(20));
        fixture.output.put(|text| text.extend_from_slice(b"line\n"));
        fixture.writer.finish(Instant::now());
        assert!(lock(&fixture.seen).is_empty());
        drop(fixture.permits);
    }
}
