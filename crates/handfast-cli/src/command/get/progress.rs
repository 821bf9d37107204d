//! How far transfers are, on a terminal: a bar for each one that takes longer than half a second. Other messages on stderr
//! meanwhile stand above the bars.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handfast::escape_control;
use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// A transfer that takes no longer shows no bar: it would only flicker.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

/// How often bars are drawn: as often as figures can be read.
const TICK: Duration = Duration::from_millis(100);

/// Terminals that are narrower have no bar, and those that are narrower than the second no rate.
const WIDE: usize = 60;
const NARROW: usize = 36;

/// All transfers that go on.
#[derive(Debug)]
pub(super) struct Progress {
    bars: MultiProgress,
    is_plain: bool,
    lines: Mutex<Vec<Arc<Line>>>,
}

/// One transfer. Its bar goes away with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    name: String,
    began: Instant,
    /// Bytes that came, and how many there will be; `UNKNOWN` if that is not announced.
    received: AtomicU64,
    expected: AtomicU64,
    sent: AtomicU64,
    to_send: AtomicU64,
    has_answer: AtomicBool,
    is_over: AtomicBool,
    bar: Mutex<Option<ProgressBar>>,
}

const UNKNOWN: u64 = u64::MAX;

impl Progress {
    /// `None` where no bar can be drawn: stderr is no terminal, or one that cannot move its cursor. `is_plain`: nothing but bars,
    /// as curl's `-#`.
    pub(super) fn on_stderr(is_plain: bool) -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if is_dumb || !io::stderr().is_terminal() {
            return None;
        }
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let beneath = bars.clone();
        output::divert(Some(Box::new(move |text| {
            beneath.suspend(|| {
                // Errors are ignored: there is nowhere left to report them.
                let _ = io::stderr().lock().write_all(text.as_bytes());
            });
        })));
        Some(Self {
            bars,
            is_plain,
            lines: Mutex::default(),
        })
    }

    /// Another transfer, of a file of this name.
    pub(super) fn begin(&self, name: &str) -> Meter {
        let line = Arc::new(Line {
            name: escape_control(name).into_owned(),
            began: Instant::now(),
            received: AtomicU64::new(0),
            expected: AtomicU64::new(UNKNOWN),
            sent: AtomicU64::new(0),
            to_send: AtomicU64::new(0),
            has_answer: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            bar: Mutex::default(),
        });
        self.lines().push(Arc::clone(&line));
        Meter(Some(line))
    }

    /// Draws bars for as long as it is polled.
    pub(super) async fn draw(&self) -> Infallible {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut lines = self.lines();
            lines.retain(|line| !line.is_over.load(Ordering::Acquire));
            for line in lines.iter() {
                self.draw_one(line);
            }
        }
    }

    /// Takes away what is drawn.
    pub(super) fn clear(&self) {
        for line in self.lines().drain(..) {
            Meter(Some(line)).over(false);
        }
    }

    fn draw_one(&self, line: &Line) {
        let mut bar = lock(&line.bar);
        // It may have ended meanwhile, and its bar is gone.
        if line.began.elapsed() < SHOWN_AFTER || line.is_over.load(Ordering::Acquire) {
            return;
        }
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let is_upload = !line.has_answer.load(Ordering::Relaxed) && get(&line.sent) > 0;
        let (position, length) = match is_upload {
            true => (get(&line.sent), get(&line.to_send)),
            false => (get(&line.received), get(&line.expected)),
        };
        let length = Some(length).filter(|length| *length != UNKNOWN && *length > 0);
        let bar = bar.get_or_insert_with(|| self.bars.add(ProgressBar::no_length()));
        if position < bar.position() {
            // From an upload to the response to it.
            bar.reset();
        }
        match length {
            Some(length) => bar.set_length(length),
            None => bar.unset_length(),
        }
        bar.set_style(self.style(length.is_some()));
        bar.set_prefix(line.name.clone());
        bar.set_position(position);
        bar.tick();
    }

    fn style(&self, has_length: bool) -> ProgressStyle {
        let width = console_width();
        let template = match (self.is_plain, has_length) {
            (true, true) => "{wide_bar} {percent:>3}%",
            (true, false) => "{spinner} {binary_bytes}",
            (false, true) if width >= WIDE => {
                "{prefix:20!} [{wide_bar}] {percent:>3}% {binary_bytes:>10} {binary_bytes_per_sec:>12} {eta:>4}"
            }
            (false, true) if width >= NARROW => {
                "{prefix:8!} {percent:>3}% {binary_bytes_per_sec} {eta}"
            }
            (false, true) => "{percent:>3}% {eta}",
            (false, false) if width >= NARROW => {
                "{prefix:8!} {spinner} {binary_bytes} {binary_bytes_per_sec}"
            }
            (false, false) => "{spinner} {binary_bytes}",
        };
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        style
            .progress_chars(if self.is_plain { "## " } else { "=> " })
            .tick_chars("|/-\\ ")
    }

    fn lines(&self) -> MutexGuard<'_, Vec<Arc<Line>>> {
        lock(&self.lines)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        output::divert(None);
    }
}

impl Meter {
    pub(super) fn sending(&self, length: Option<u64>) {
        if let Some(line) = &self.0 {
            let length = length.unwrap_or(UNKNOWN);
            line.to_send.store(length, Ordering::Relaxed);
        }
    }

    pub(super) fn sent(&self, count: usize) {
        if let Some(line) = &self.0 {
            line.sent.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn responding(&self, expected: Option<u64>) {
        if let Some(line) = &self.0 {
            let expected = expected.unwrap_or(UNKNOWN);
            line.expected.store(expected, Ordering::Relaxed);
            line.has_answer.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn received(&self, count: usize) {
        if let Some(line) = &self.0 {
            line.received.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    /// It is over; what was drawn goes away. If all of it came, a line says so.
    pub(super) fn over(&self, is_whole: bool) {
        let Some(line) = &self.0 else { return };
        let bar = {
            let mut bar = lock(&line.bar);
            line.is_over.store(true, Ordering::Release);
            bar.take()
        };
        let Some(bar) = bar else { return };
        bar.finish_and_clear();
        if is_whole {
            let (count, took) = (line.received.load(Ordering::Relaxed), line.began.elapsed());
            let rate = (count as f64 / took.as_secs_f64().max(f64::EPSILON)) as u64;
            output::note(format!(
                "{}: {} in {:.1} s ({}/s)",
                line.name,
                BinaryBytes(count),
                took.as_secs_f64(),
                BinaryBytes(rate)
            ));
        }
    }
}

/// The width of the terminal that bars are drawn on.
fn console_width() -> usize {
    #[cfg(unix)]
    if let Ok(size) = rustix::termios::tcgetwinsize(io::stderr())
        && size.ws_col > 0
    {
        return size.ws_col.into();
    }
    80
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
