//! What one transfer is told to while it goes on.

use super::heads::HeadFile;
use super::progress::Meter;
use super::show::Show;
use super::transfer::Recorder;
use super::turns::Turns;

/// A transfer is recorded, and shown when it is over.
#[derive(Clone, Copy)]
pub(super) struct Telling<'a> {
    pub(super) show: &'a Show,
    pub(super) recorder: &'a Recorder,
    pub(super) heads: Option<&'a HeadFile>,
    pub(super) meter: &'a Meter,
    /// If several are fetched at once: the way to stdout, and the place among them.
    pub(super) turn: Option<(&'a Turns, usize)>,
}
