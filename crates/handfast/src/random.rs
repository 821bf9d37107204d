//! Random numbers: whether the operating system provides any, and early seeding of the generator.
//!
//! Keys and nonces come from aws-lc's generator. Left to its defaults it also gathers timing jitter of the processor
//! before its first byte, once in a process, which takes some 30 ms. Built with
//! `AWS_LC_SYS_NO_JITTER_ENTROPY=1` in the environment it does not; a crate cannot set that for its users.

use std::thread;

use crate::error::{Error, LocalCause};
use crate::phase::Phase;

/// Seeds the generator on a new thread, which then ends.
///
/// For the start of a program: the 30 ms overlap with name resolution and connecting. Nothing has
/// to wait for it. If the generator was built without jitter, the cost is that of a thread.
///
/// ```
/// handfast::random::seed_in_background();
/// // ... read arguments, resolve names, connect ...
/// ```
pub fn seed_in_background() {
    let thread = thread::Builder::new().name("seed".to_owned());
    // Without a thread, or without randomness, the first use of the generator seeds it or fails.
    let _ = thread.spawn(|| aws_lc_rs::rand::fill(&mut [0]).is_ok());
}

/// Whether the operating system provides random bytes. The generator is not used: it would wait for its seed, and
/// aws-lc aborts the process if there is none.
pub(crate) fn check() -> Result<(), Error> {
    match is_available() {
        true => Ok(()),
        false => Err(Error::new(Phase::Configure, LocalCause::RandomUnavailable)),
    }
}

#[cfg(target_os = "linux")]
fn is_available() -> bool {
    use rustix::io::Errno;
    use rustix::rand::{GetRandomFlags, getrandom};
    match getrandom(&mut [0; 16][..], GetRandomFlags::NONBLOCK) {
        // Early at boot, or interrupted: it will be available.
        Ok(_) | Err(Errno::AGAIN | Errno::INTR) => true,
        // Before Linux 3.17.
        Err(Errno::NOSYS) => std::fs::File::open("/dev/urandom").is_ok(),
        Err(_) => false,
    }
}

#[cfg(not(target_os = "linux"))]
fn is_available() -> bool {
    aws_lc_rs::rand::fill(&mut [0; 16]).is_ok()
}
