//! From the start to the end: signals, what is to be read again, memory after peaks.

use std::convert::Infallible;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use handfast::Explanation;
use handfast_https::server::Running;
use tokio::sync::Notify;

use super::log;
use super::reload::Reload;
use super::stamp::LOOK_EVERY;
use super::supervisor::Supervisor;
use super::takeover::{Control, Taken};
use crate::failure::{Failure, code};
use crate::heap::{self, Peak};
use crate::output;

/// How long the cutting of connections is waited for: a thread may be waiting for a disk.
const CUT: Duration = Duration::from_secs(1);

/// How long replies may run on once another process serves: nothing waits for the end of this one, and a large download takes its time.
const TAKEN_GRACE: Duration = Duration::from_secs(15 * 60);

/// Why it ends.
enum End {
    Signal,
    /// Another process serves. With a signal, if there was one before that.
    Taken(Taken, bool),
}

/// Waits for a signal, or for another process that takes over, then for running replies; a second signal stops it at once. In the
/// meantime checks whether something is to be read again, and releases memory after peaks.
pub(super) fn until_stopped(
    runtime: tokio::runtime::Runtime,
    running: Running,
    mut signals: Signals,
    log: log::Handle,
    mut reload: Reload,
    supervisor: Supervisor,
    control: Control,
) -> Result<ExitCode, Failure> {
    let hurried = runtime.block_on(async {
        let (mut peaks, mut peak) = (tokio::time::interval(heap::LOOK_EVERY), Peak::default());
        peaks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let alive_every = supervisor.alive_every();
        let mut alive = tokio::time::interval(alive_every.unwrap_or(heap::LOOK_EVERY));
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        supervisor.ready(running.listeners().len());
        let mut taken = Box::pin(control.until_taken(&running));
        let asked = Notify::new();
        let mut reloads = Box::pin(reload_when_due(&mut reload, &running, &asked, &supervisor));
        let end = loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => break End::Signal,
                    Signal::Hangup => {
                        log.reopen();
                        asked.notify_one();
                    }
                    Signal::Reopen => log.reopen(),
                },
                taken = &mut taken => break End::Taken(taken, false),
                _ = alive.tick(), if alive_every.is_some() => supervisor.alive(),
                never = &mut reloads => match never {},
                _ = peaks.tick() => {
                    if peak.is_over(running.connections()) {
                        heap::give_back();
                    }
                }
            }
        };
        // One that waits for something is given up.
        drop(reloads);
        let end = match end {
            End::Signal => {
                let settled = tokio::select! {
                    settled = control.settle(taken.as_mut()) => settled,
                    () = signals.stop(&log) => None,
                };
                settled.map_or(End::Signal, |taken| End::Taken(taken, true))
            }
            taken @ End::Taken(..) => taken,
        };
        // One that has not taken over by now does not.
        drop(taken);
        let (stopper, grace) = (running.stopper(), reload.settings().grace);
        let connections = running.connections();
        let has_time = matches!(end, End::Taken(_, false));
        let time = match &end {
            // Before anything is said of it.
            End::Signal => {
                stopper.shutdown(grace);
                grace
            }
            End::Taken(taken, is_told) => {
                let time = match is_told {
                    true => grace,
                    false => grace.max(TAKEN_GRACE),
                };
                control.leave(taken, &running);
                reload.leave();
                stopper.retire(time);
                time
            }
        };
        match &end {
            End::Signal => supervisor.stopping(connections),
            End::Taken(taken, _) => supervisor.taken(taken.pid),
        }
        if connections > 0 && !reload.settings().log.is_quiet() {
            let time = time.as_secs();
            let open = match connections {
                1 => "one connection is open".to_owned(),
                count => format!("{count} connections are open"),
            };
            output::note(match &end {
                End::Signal => format!(
                    "stopping: {open}; replies get {time} s to end, a second signal ends them at once"
                ),
                End::Taken(taken, _) => format!(
                    "process {} serves now: {open} here; replies get {time} s to end, a signal shortens that to {} s",
                    taken.pid.unwrap_or_default(),
                    grace.as_secs()
                ),
            });
        }
        if connections == 0
            && let End::Taken(taken, _) = &end
            && !reload.settings().log.is_quiet()
        {
            let pid = taken.pid.unwrap_or_default();
            output::note(format!("process {pid} serves now: no connection is open here"));
        }
        let mut stopped = tokio::task::spawn_blocking(move || running.join());
        if has_time {
            tokio::select! {
                _ = &mut stopped => return Ok::<_, Failure>(false),
                () = signals.stop(&log) => stopper.shutdown(grace),
            }
        }
        tokio::select! {
            _ = &mut stopped => Ok(false),
            () = signals.stop(&log) => {
                // Replies that are still running are cut, and the log says so.
                stopper.shutdown(Duration::ZERO);
                let _ = tokio::time::timeout(CUT, stopped).await;
                Ok(true)
            }
        }
    })?;
    // What has not ended by then ends with the process.
    runtime.shutdown_background();
    match hurried {
        true => output::note("stopped at once"),
        false if reload.settings().log.is_quiet() => {}
        false => output::note("stopped"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads again what has changed, and everything when asked to, until it is dropped. A reload may wait for another process that opens
/// listeners: signals and the service manager do not wait for that.
async fn reload_when_due(
    reload: &mut Reload,
    running: &Running,
    asked: &Notify,
    supervisor: &Supervisor,
) -> Infallible {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = asked.notified() => {
                supervisor.reloading();
                reload.ask(running).await;
                supervisor.ready(running.listeners().len());
            }
            _ = looks.tick() => reload.look(running).await,
        }
    }
}

pub(super) fn no_signals(error: io::Error) -> Failure {
    let what = "signals cannot be waited for";
    Failure::new(
        code::OTHER,
        Explanation::new("no-signals", what).with_evidence(error.to_string()),
    )
}

// Where there are no such signals, only one of them is ever made.
#[cfg_attr(not(unix), expect(dead_code))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Stop,
    /// Reopen files, and read everything again.
    Hangup,
    /// Reopen files.
    Reopen,
}

/// SIGINT, SIGTERM, SIGQUIT, SIGHUP and SIGUSR1; on other systems than Unix, Ctrl-C. SIGUSR2 and SIGALRM do nothing: without a handler they
/// would end the process and cut its replies.
#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    quit: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    user1: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // The handler stays when what receives from it is dropped.
        for ignored in [SignalKind::user_defined2(), SignalKind::alarm()] {
            drop(signal(ignored)?);
        }
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.quit.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Hangup,
            _ = self.user1.recv() => Signal::Reopen,
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    // As on Unix, where it is used mutably.
    #[allow(clippy::needless_pass_by_ref_mut)]
    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop
    }
}

impl Signals {
    /// Waits for one that ends the server. Replies that still run may do so for long: logs are rotated in the meantime.
    async fn stop(&mut self, log: &log::Handle) {
        while self.next().await != Signal::Stop {
            log.reopen();
        }
    }
}
