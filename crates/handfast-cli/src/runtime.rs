//! The event loop that commands run on.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// A runtime of this thread.
///
/// # Errors
/// When the operating system does not give what it consists of.
pub(crate) fn current_thread() -> io::Result<Runtime> {
    check_descriptors()?;
    Builder::new_current_thread().enable_all().build()
}

/// tokio panics when there is no descriptor for its signals. So it is asked for later, and the system now.
#[cfg(unix)]
fn check_descriptors() -> io::Result<()> {
    use std::os::unix::net::UnixStream;
    // Two for signals, one of them once more for the runtime, and two of the event loop itself.
    let _five = [
        UnixStream::pair()?,
        UnixStream::pair()?,
        UnixStream::pair()?,
    ];
    Ok(())
}

#[cfg(not(unix))]
fn check_descriptors() -> io::Result<()> {
    Ok(())
}
