//! Output: results on stdout, everything else on stderr, colour only on a terminal.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use handfast::Explanation;

use crate::columns;
use crate::failure::{Failure, code, plain};

/// The style of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Success.
    Good,
    /// Failure.
    Bad,
    /// Warning.
    Warning,
    /// A heading.
    Heading,
    /// Less important text.
    Faint,
    /// A name: of a header field, or in JSON.
    Key,
    /// A string.
    Text,
    /// A number, or a word such as `true`.
    Number,
}

impl Tone {
    fn sgr(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Warning => "1;33",
            Self::Heading => "1",
            Self::Faint => "2",
            Self::Key => "34",
            Self::Text => "32",
            Self::Number => "36",
        }
    }

    /// What ends every tone.
    pub(crate) const END: &str = "\x1b[0m";

    /// What begins it.
    pub(crate) fn begin(self) -> String {
        format!("\x1b[{}m", self.sgr())
    }
}

/// Whether a stream supports colour: a terminal that is not dumb, and no `NO_COLOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    colour: bool,
}

impl Palette {
    pub(crate) fn stdout() -> Self {
        Self::of(io::stdout().is_terminal())
    }

    pub(crate) fn stderr() -> Self {
        Self::of(io::stderr().is_terminal())
    }

    /// Are colours written at all?
    pub(crate) fn is_coloured(self) -> bool {
        self.colour
    }

    fn of(terminal: bool) -> Self {
        match *COLOUR.read().unwrap_or_else(PoisonError::into_inner) {
            ColourWhen::Auto => {}
            when => {
                return Self {
                    colour: when == ColourWhen::Always,
                };
            }
        }
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !refused,
        }
    }

    pub(crate) fn paint(self, tone: Tone, text: impl AsRef<str>) -> String {
        let text = text.as_ref();
        if self.colour {
            format!("{}{text}{}", tone.begin(), Tone::END)
        } else {
            text.to_owned()
        }
    }
}

/// When output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ColourWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

static COLOUR: RwLock<ColourWhen> = RwLock::new(ColourWhen::Auto);

/// Decides when output is coloured from now on.
pub(crate) fn colour(when: ColourWhen) {
    *COLOUR.write().unwrap_or_else(PoisonError::into_inner) = when;
}

/// A file name quoted for a shell.
pub(crate) fn shell_path(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,".contains(c);
    if text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Writes a command's whole output. A closed pipe is not a failure.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn write_stdout(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let explanation =
                Explanation::new("output-unwritable", "cannot write to the standard output");
            let explanation = explanation.with_evidence(plain(&error));
            Err(Failure::new(code::WRITE, explanation))
        }
        _ => Ok(()),
    }
}

/// Takes text for stderr, whole lines, without making its caller wait.
type Sink = Box<dyn Fn(&str) + Send + Sync>;

static SINK: RwLock<Option<Sink>> = RwLock::new(None);

/// Gives notes, warnings and failures to `sink` from now on; with `None` they are written to stderr by the caller, as at first. A terminal
/// that is stopped, or a pipe that is not read, must not hold up a server.
pub(crate) fn divert(sink: Option<Sink>) {
    *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
}

/// Whole lines on stderr. Errors are ignored: there is nowhere left to report them.
fn write_stderr(lines: &str) {
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
    match &*sink {
        Some(sink) => sink(lines),
        None => {
            let _ = io::stderr().lock().write_all(lines.as_bytes());
        }
    }
}

/// One line on stderr.
pub(crate) fn note(text: impl AsRef<str>) {
    write_stderr(&format!("{}\n", text.as_ref()));
}

/// A line on stderr, a terminal, that replaces the previous one; an empty text removes it.
pub(crate) fn progress(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
}

/// The width of standard output: `COLUMNS`, or the terminal's, or the width of
/// every page.
pub(crate) fn width() -> usize {
    const PAGE: usize = 100;
    /// The minimum for two columns.
    const LEAST: usize = 40;
    let said = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    #[cfg(unix)]
    let said = said.or_else(|| {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    });
    said.map_or(PAGE, |columns: usize| columns.clamp(LEAST, PAGE))
}

/// Text for standard output, wrapped to the terminal's width, or `COLUMNS`.
/// Output to a file or a program is not wrapped.
pub(crate) fn fit(text: &str) -> String {
    let said = env::var_os("COLUMNS").is_some();
    match said || io::stdout().is_terminal() {
        true => columns::fit(text, width()),
        false => text.to_owned(),
    }
}

/// A warning on stderr.
pub(crate) fn warning(text: impl AsRef<str>) {
    let palette = Palette::stderr();
    note(format!(
        "{} {}",
        palette.paint(Tone::Warning, "warning:"),
        text.as_ref()
    ));
}

/// A warning that counts as a problem, on stderr.
pub(crate) fn problem(text: impl AsRef<str>) {
    let palette = Palette::stderr();
    let label = palette.paint(Tone::Bad, "problem:");
    note(format!("{label} {}", text.as_ref()));
}

/// What happened, the evidence, what to do.
pub(crate) fn failure(failure: &Failure) {
    let palette = Palette::stderr();
    let explanation = &failure.explanation;
    let mut text = format!(
        "{} {} {}\n",
        palette.paint(Tone::Bad, "handfast:"),
        explanation.what,
        palette.paint(Tone::Faint, format!("[{}]", explanation.id)),
    );
    for line in &explanation.evidence {
        text.push_str(&format!("  {line}\n"));
    }
    for line in &explanation.fix {
        text.push_str(&format!("  {} {line}\n", palette.paint(Tone::Good, "fix:")));
    }
    write_stderr(&text);
}
