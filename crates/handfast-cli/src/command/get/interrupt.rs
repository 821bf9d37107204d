//! Ctrl-C, and being told to stop, while a file is fetched: what arrived is kept, and where is told.
//!
//! A body that goes to standard output is not waited for here: there is nothing to tell, and a write that
//! is not read must not keep the signal waiting.

use std::future;
use std::io;
use std::path::Path;

use crate::exit_codes::INTERRUPTED;
#[cfg(unix)]
use crate::exit_codes::TERMINATED;
use crate::output;

/// The exit code of the signal that came. From when this is first polled, signals do not end the program by
/// themselves; unless `is_wanted`, and where there is no handler to be had, they still do.
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

/// Says what is left.
pub(super) fn tell(part: Option<&Path>) {
    output::note(match part {
        Some(part) => format!(
            "interrupted; what arrived is kept in {}",
            handfast::escape_control(&part.display().to_string())
        ),
        None => "interrupted".to_owned(),
    });
}
