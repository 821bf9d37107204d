//! Several URLs in one command: how many are fetched at once, and what a failure means for the others.

use std::ffi::OsString;

use super::globs::{Glob, Malformed};
use crate::failure::{Failure, code};

/// How many transfers go on at once, and the most that may be asked for; as in curl.
const AT_ONCE: u16 = 50;
const AT_ONCE_MAX: u16 = 300;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Several URLs")]
pub(super) struct ManyArgs {
    /// Fetch several URLs at once; over HTTP/2 those of one server share a connection
    #[arg(short = 'Z', long)]
    parallel: bool,
    /// How many at once, at most 300
    #[arg(long, value_name = "N", default_value_t = AT_ONCE)]
    parallel_max: u16,
    /// As in curl: connect rather than wait for a connection that is being made; it is waited for
    #[arg(long, hide = true)]
    parallel_immediate: bool,
    /// Stop at the first failure, with its exit code
    #[arg(long)]
    fail_early: bool,
    /// Take {a,b}, [1-9] and [a-z] in URLs as they are; otherwise they stand for several, and #1 in -o for the first of them
    #[arg(short = 'g', long)]
    globoff: bool,
    /// Begin new options and URLs: the options before this do not apply to them
    #[arg(
        short = ':',
        long,
        num_args = 0..,
        allow_hyphen_values = true,
        value_name = "OPTIONS AND URLS"
    )]
    next: Option<Vec<OsString>>,
}

impl ManyArgs {
    /// How many transfers may go on at once.
    pub(super) fn at_once(&self) -> usize {
        match (self.parallel, self.parallel_max) {
            (false, _) => 1,
            // curl's meaning of values that make no sense.
            (true, 0 | AT_ONCE_MAX..) if self.parallel_max != AT_ONCE_MAX => AT_ONCE.into(),
            (true, count) => count.into(),
        }
    }

    pub(super) fn fails_early(&self) -> bool {
        self.fail_early
    }

    /// What a URL stands for.
    pub(super) fn glob(&self, url: &str) -> Result<Glob, Failure> {
        match self.globoff {
            true => Ok(Glob::plain(url)),
            false => Glob::parse(url).map_err(|problem| malformed(url, problem)),
        }
    }

    /// What stands after `--next`.
    pub(super) fn next(&self) -> Option<&[OsString]> {
        self.next.as_deref()
    }
}

/// With curl's exit code for a URL that is malformed.
fn malformed(url: &str, Malformed { problem, position }: Malformed) -> Failure {
    let what = format!(
        "the URL {} cannot be expanded: {problem} (at position {position})",
        handfast::escape_control(url)
    );
    let explanation = handfast::Explanation::new("invalid-url", what).with_fix(
        "write such characters as they are meant with -g, or with a backslash before them",
    );
    Failure::new(code::BAD_URL, explanation)
}
