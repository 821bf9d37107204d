//! Limits on the work for one chain, which the peer controls.

/// The same limit as webpki's; a valid path needs one for each of its certificates.
const SIGNATURES_MAX: usize = 100;

/// Certificates visited while paths are followed. Five certificates that all issue one another make 65
/// paths; only hostile chains need more.
const STEPS_MAX: usize = 2_000;

/// Paths checked by the rules. Real chains have one to four.
const PATHS_MAX: usize = 64;

/// A bound was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

/// The remaining work for one chain.
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
