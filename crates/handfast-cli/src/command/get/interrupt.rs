//! Signals (SIGINT, SIGTERM) while a file is fetched: the part that arrived is kept, and its path printed.
//!
//! They are waited for on a thread of their own: a write to an output that is not read must not delay them. Not where all bodies
//! are written to standard output: there is nothing to print, and the signals keep their default effect.

use std::future;
use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::sink::Kept;
use crate::exit_codes::INTERRUPTED;
#[cfg(unix)]
use crate::exit_codes::TERMINATED;
use crate::output;

/// What does not react to a signal for so long is blocked: the process ends without it.
const BLOCKED_AFTER: Duration = Duration::from_secs(1);

/// The exit code of the signal. Once this was polled, signals no longer have their default effect; unless
/// `is_wanted` is false or no handler can be installed.
pub(super) async fn next(is_wanted: bool) -> u8 {
    if is_wanted && let Ok(code) = received().await {
        return code;
    }
    future::pending().await
}

fn received() -> oneshot::Receiver<u8> {
    let (sender, receiver) = oneshot::channel();
    let waiting = move || {
        let Ok(runtime) = crate::runtime::current_thread() else {
            return;
        };
        if let Ok(code) = runtime.block_on(signal()) {
            let _ = sender.send(code);
            thread::sleep(BLOCKED_AFTER);
            output::note("interrupted while an output was not read; what arrived is kept");
            std::process::exit(code.into());
        }
    };
    // Without a thread, signals keep their default effect.
    let _ = thread::Builder::new().name("signals".into()).spawn(waiting);
    receiver
}

#[cfg(unix)]
async fn signal() -> io::Result<u8> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => TERMINATED,
    })
}

#[cfg(not(unix))]
async fn signal() -> io::Result<u8> {
    tokio::signal::ctrl_c().await.map(|()| INTERRUPTED)
}

/// Prints where the part is kept.
pub(super) fn tell(part: Option<&Kept>) {
    output::note(match part {
        Some(Kept { path, goes_on }) => format!(
            "interrupted; {} is kept{}",
            handfast::escape_control(&path.display().to_string()),
            if *goes_on { ", go on with -C -" } else { "" }
        ),
        None => "interrupted".to_owned(),
    });
}
