//! Runs public test suites against handfast. Not published.
//!
//! The suites themselves stay where they are installed: `conformance/run SUITE --with PATH` starts them. Here
//! is what has to be ours: the program that BoGo drives ([`bogo`]), what makes results of a suite's output
//! ([`suite`]), and the ledgers of what is known to deviate ([`ledger`]). Beside that, chains that are put before other
//! verifiers, too ([`verdicts`]).

pub mod bogo;
pub mod ledger;
pub mod serving;
pub mod suite;
mod suite_run;
pub mod verdicts;
