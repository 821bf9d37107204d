//! Signals (SIGINT, SIGTERM) while a file is fetched: the part that arrived is kept, and its path printed.
//!
//! Not for a body that is written to standard output: there is nothing to print, and a blocked write must not
//! delay the signal.

use std::future;
use std::io;
use std::path::Path;

use crate::exit_codes::INTERRUPTED;
#[cfg(unix)]
use crate::exit_codes::TERMINATED;
use crate::output;

/// The exit code of the signal. Once this was polled, signals no longer have their default effect; unless
/// `is_wanted` is false or no handler can be installed.
pub(super) async fn next(is_wanted: bool) -> u8 {
    if is_wanted && let Ok(code) = signal().await {
        return code;
    }
    future::pending().await
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
pub(super) fn tell(part: Option<&Path>) {
    output::note(match part {
        Some(part) => format!(
            "interrupted; {} is kept, go on with -C -",
            handfast::escape_control(&part.display().to_string())
        ),
        None => "interrupted".to_owned(),
    });
}
