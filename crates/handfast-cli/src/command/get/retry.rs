//! `--retry`: which failures may pass, and how long to wait before the next attempt.

use std::time::{Duration, Instant, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::failure::{Failure, code};
use crate::trust_args::{Limit, limit};

/// The first wait; each is twice the one before.
const WAIT_FIRST: Duration = Duration::from_secs(1);

/// The longest of them, as curl has it.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// A server that asks for more in `Retry-After` is not asked again, unless `--retry-max-time` allows it: a command
/// that stands still for hours looks like one that hangs.
const ASKED_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Retries")]
pub(super) struct RetryArgs {
    /// After a time-out, a name that does not resolve, or a status of 408, 429, 500, 502, 503 or 504: try again, at most N times
    #[arg(long, value_name = "N", default_value_t = 0)]
    retry: u32,
    /// Wait so long before each retry [default: 1, then twice as long each time, or what Retry-After says]
    #[arg(long, value_name = "SECONDS", value_parser = limit)]
    retry_delay: Option<Limit>,
    /// Begin no retry later than this
    #[arg(long, value_name = "SECONDS", value_parser = limit)]
    retry_max_time: Option<Limit>,
    /// Also retry if the connection is refused
    #[arg(long)]
    retry_connrefused: bool,
    /// Retry after every failure
    #[arg(long)]
    retry_all_errors: bool,
}

impl RetryArgs {
    /// For one URL, from now on.
    pub(super) fn begin(&self) -> Retries<'_> {
        let given = |limit: Option<Limit>| limit.and_then(|Limit(limit)| limit);
        Retries {
            args: self,
            left: self.retry,
            fixed: given(self.retry_delay),
            next: WAIT_FIRST,
            until: given(self.retry_max_time).and_then(|limit| Instant::now().checked_add(limit)),
        }
    }
}

/// The retries of one URL.
#[derive(Debug)]
pub(super) struct Retries<'a> {
    args: &'a RetryArgs,
    left: u32,
    fixed: Option<Duration>,
    next: Duration,
    until: Option<Instant>,
}

impl Retries<'_> {
    /// How many are left.
    pub(super) fn left(&self) -> u32 {
        self.left
    }

    /// There are no more: what was written cannot be taken back, or the request cannot be sent again.
    pub(super) fn forbid(&mut self) {
        self.left = 0;
    }

    /// How long to wait after this reply before the next attempt; `None` if there is none.
    pub(super) fn after_reply(
        &mut self,
        status: StatusCode,
        fields: &HeaderMap,
    ) -> Option<Duration> {
        let may_pass = matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504);
        may_pass.then(|| self.wait(retry_after(fields, SystemTime::now())))?
    }

    /// The same after a failure. What was cut off is requested again if its part is kept, to go on there.
    pub(super) fn after_failure(
        &mut self,
        failure: &Failure,
        keeps_part: bool,
    ) -> Option<Duration> {
        let may_pass = self.args.retry_all_errors
            || match failure.code {
                code::SHORT_BODY | code::RECEIVE => keeps_part,
                code::TIMED_OUT | code::RESOLVE | code::RESOLVE_PROXY => true,
                code::CONNECT => self.args.retry_connrefused,
                _ => false,
            };
        may_pass.then(|| self.wait(None))?
    }

    fn wait(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.left == 0 {
            return None;
        }
        let wait = asked.or(self.fixed).unwrap_or(self.next);
        let is_late = match self.until {
            Some(until) => Instant::now().checked_add(wait).is_none_or(|at| at > until),
            None => asked.is_some_and(|asked| asked > ASKED_MAX),
        };
        if is_late {
            return None;
        }
        self.left -= 1;
        self.next = self.next.saturating_mul(2).min(WAIT_MAX);
        Some(wait)
    }
}

/// How long the server asks to wait (RFC 9110, section 10.2.3).
fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = fields.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds)).filter(|wait| !wait.is_zero());
    }
    let at = httpdate::parse_http_date(text).ok()?;
    at.duration_since(now).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(retry: u32) -> RetryArgs {
        RetryArgs {
            retry,
            retry_delay: None,
            retry_max_time: None,
            retry_connrefused: false,
            retry_all_errors: false,
        }
    }

    fn failure(code: u8) -> Failure {
        Failure::new(code, handfast::Explanation::new("x", "x"))
    }

    fn seconds(wait: Option<Duration>) -> Option<u64> {
        wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn waits_double_unless_they_are_given() {
        let timed_out = failure(code::TIMED_OUT);
        let args_ = args(20);
        let mut retries = args_.begin();
        let waits: Vec<_> = (0..12)
            .map(|_| seconds(retries.after_failure(&timed_out, false)).unwrap())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        let fixed = RetryArgs {
            retry_delay: Some(Limit(Some(Duration::from_secs(7)))),
            ..args(1)
        };
        let mut retries = fixed.begin();
        assert_eq!(seconds(retries.after_failure(&timed_out, false)), Some(7));
        assert_eq!(retries.after_failure(&timed_out, false), None);
        let short = RetryArgs {
            retry_max_time: Some(Limit(Some(Duration::from_millis(500)))),
            ..args(5)
        };
        assert_eq!(short.begin().after_failure(&timed_out, false), None);
    }

    #[test]
    fn transient_failures_are_retried() {
        let refused = failure(code::CONNECT);
        let fields = HeaderMap::new();
        assert_eq!(args(1).begin().after_failure(&refused, false), None);
        let args_ = RetryArgs {
            retry_connrefused: true,
            ..args(1)
        };
        assert!(args_.begin().after_failure(&refused, false).is_some());
        assert_eq!(
            args_.begin().after_failure(&failure(code::PEER), true),
            None
        );
        let args_ = RetryArgs {
            retry_all_errors: true,
            ..args(1)
        };
        assert!(
            args_
                .begin()
                .after_failure(&failure(code::PEER), true)
                .is_some()
        );
        for (keeps_part, expected) in [(true, true), (false, false)] {
            let cut_off = failure(code::SHORT_BODY);
            let wait = args(1).begin().after_failure(&cut_off, keeps_part);
            assert_eq!(wait.is_some(), expected);
        }
        for (status, expected) in [
            (200, false),
            (404, false),
            (429, true),
            (501, false),
            (503, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let wait = args(1).begin().after_reply(status, &fields);
            assert_eq!(wait.is_some(), expected, "{status}");
        }
    }

    #[test]
    fn a_server_may_ask_for_more_time() {
        for (value, expected) in [
            ("7", Some(7)),
            ("0", Some(1)),
            ("nonsense", Some(1)),
            ("-5", Some(1)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(1)),
            ("999999", None),
            ("99999999999999999999999", Some(1)),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(RETRY_AFTER, value.parse().unwrap());
            let wait = args(1)
                .begin()
                .after_reply(StatusCode::SERVICE_UNAVAILABLE, &fields);
            assert_eq!(seconds(wait), expected, "{value}");
        }
        let at = SystemTime::UNIX_EPOCH;
        let mut fields = HeaderMap::new();
        fields.insert(
            RETRY_AFTER,
            "Thu, 01 Jan 1970 00:01:00 GMT".parse().unwrap(),
        );
        assert_eq!(seconds(retry_after(&fields, at)), Some(60));
    }
}
