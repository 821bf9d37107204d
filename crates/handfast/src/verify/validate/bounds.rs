//! How much work a refusal may cost: what a peer sends decides on it, so it is counted.

/// As many as webpki allows itself; a path that is meant needs one for each of its certificates.
const SIGNATURES_MAX: usize = 100;

/// Certificates looked at while paths are followed. Five certificates that all issue one another make 65
/// paths; what needs more is made to cost time.
const STEPS_MAX: usize = 2_000;

/// Paths judged by the rules. Real chains have one to four.
const PATHS_MAX: usize = 64;

/// A bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// What is left to be spent on one chain.
pub(super) struct Budget {
    signatures: usize,
    steps: usize,
    paths: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            signatures: SIGNATURES_MAX,
            steps: STEPS_MAX,
            paths: PATHS_MAX,
        }
    }

    pub(super) fn take_signature(&mut self) -> Result<(), Exhausted> {
        take(&mut self.signatures)
    }

    pub(super) fn take_step(&mut self) -> Result<(), Exhausted> {
        take(&mut self.steps)
    }

    pub(super) fn take_path(&mut self) -> Result<(), Exhausted> {
        take(&mut self.paths)
    }
}

fn take(left: &mut usize) -> Result<(), Exhausted> {
    *left = left.checked_sub(1).ok_or(Exhausted)?;
    Ok(())
}
