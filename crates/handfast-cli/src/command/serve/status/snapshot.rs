//! Everything that the status tells, at one moment.

use std::sync::Arc;
use std::time::SystemTime;

use handfast_https::server::Gauges;

use super::super::log::Handle;
use super::super::numbers::{Certificate, Numbers, Sums};

/// The numbers of the status page.
#[derive(Clone)]
pub(in super::super) struct Sources {
    pub(in super::super) numbers: Arc<Numbers>,
    pub(in super::super) gauges: Gauges,
    pub(in super::super) log: Handle,
}

/// Everything at one moment.
pub(super) struct Snapshot {
    pub(super) sums: Sums,
    pub(super) certificates: Vec<Certificate>,
    /// Unix seconds.
    pub(super) now: f64,
    pub(super) started: f64,
    pub(super) uptime: f64,
    pub(super) connections: usize,
    pub(super) connections_max: usize,
    pub(super) held: usize,
    pub(super) held_max: usize,
    /// Of the access log, of the audit file.
    pub(super) lines_lost: [u64; 2],
}

impl Sources {
    pub(super) fn snapshot(&self) -> Snapshot {
        let unix = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64())
        };
        Snapshot {
            sums: self.numbers.sums(),
            certificates: self.numbers.certificates(),
            now: unix(SystemTime::now()),
            started: unix(self.numbers.started()),
            uptime: self.numbers.uptime().as_secs_f64(),
            connections: self.gauges.connections(),
            connections_max: self.gauges.connections_max(),
            held: self.gauges.held_bytes(),
            held_max: self.gauges.held_bytes_max(),
            lines_lost: self.log.lost(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Numbers that differ, so that none can stand for another.
    pub(in super::super) fn example() -> Snapshot {
        let mut sums = Sums {
            aborted: 7,
            bytes: 123_456_789,
            microseconds: 9_000_000,
            full: 3,
            accept_failures: 4,
            reloads: [11, 2],
            wire: [5_000, 6_000],
            ..Sums::default()
        };
        sums.requests[0] = [0, 900, 20, 30, 1, 2];
        sums.requests[1] = [0, 8_000, 40, 5, 0, 0];
        sums.handshakes = [[10, 3], [200, 70]];
        sums.durations = [8_000, 900, 50, 30, 10, 5, 2, 1, 0];
        sums.ends = [100, 50, 1, 2, 3, 4, 5, 6];
        sums.failures.insert("not-tls", 12);
        sums.failures.insert("closed-without-a-byte", 34);
        let certificate = |name: &str, not_after| Certificate {
            names: vec![name.to_owned(), "127.0.0.1".to_owned()],
            issuer: "CN=\"a\\b\"<&>".to_owned(),
            serial: "0a1b".to_owned(),
            not_after,
        };
        Snapshot {
            sums,
            certificates: vec![
                certificate("localhost", 1_800_000_000),
                certificate("soon.test", 1_796_000_000),
                certificate("over.test", 1_795_000_000),
            ],
            now: 1_795_959_681.0,
            started: 1_795_859_681.0,
            uptime: 100_000.0,
            connections: 17,
            connections_max: 8192,
            held: 1_048_576,
            held_max: 134_217_728,
            lines_lost: [0, 9],
        }
    }
}
