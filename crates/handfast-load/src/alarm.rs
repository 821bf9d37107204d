//! A timer with a better resolution than milliseconds.
//!
//! The time limit of epoll is in whole milliseconds, rounded up: an open loop with thousands of
//! requests a second would send in bursts, which would be measured as latency. A timer that can be polled
//! like a socket does not.

#[cfg(target_os = "linux")]
pub(super) use linux::Alarm;
#[cfg(not(target_os = "linux"))]
pub(super) use other::Alarm;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// A timer of the operating system.
    #[derive(Debug)]
    pub(in super::super) struct Alarm(OwnedFd);

    impl Alarm {
        pub(in super::super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Wakes the next poll after `wait`, replacing the previous setting; returns the time
        /// limit to poll with. Edge-triggered, the timer need not be read.
        pub(in super::super) fn set(&self, wait: Duration, limit: Duration) -> Duration {
            let value = Itimerspec {
                it_interval: Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: Timespec {
                    tv_sec: wait.as_secs() as _,
                    // Zero would disable it.
                    tv_nsec: wait.subsec_nanos().max(1) as _,
                },
            };
            match timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &value) {
                Ok(_) => limit,
                Err(_) => wait.min(limit),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::io;
    use std::time::Duration;

    use mio::{Registry, Token};

    /// The time limit of the poll itself.
    #[derive(Debug)]
    pub(in super::super) struct Alarm;

    impl Alarm {
        pub(in super::super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
            Ok(Self)
        }

        pub(in super::super) fn set(&self, wait: Duration, limit: Duration) -> Duration {
            wait.min(limit)
        }
    }
}
