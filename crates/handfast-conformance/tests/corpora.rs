//! The corpora of chains, revocation lists and OCSP responses, where they are: they are no part of this project.
//!
//! `HANDFAST_CORPORA` names their folder (`docs/conformance.md`). Without it the test says that it is skipped; with
//! `HANDFAST_REQUIRE_CORPORA=1`, as in continuous integration, it fails.

use std::env;
use std::path::PathBuf;

use handfast_conformance::ledger::Ledger;
use handfast_conformance::suite::{Run, Suite};

#[test]
fn every_verdict_that_differs_from_the_corpora_has_a_reason() {
    let Some(with) = env::var_os("HANDFAST_CORPORA").map(PathBuf::from) else {
        assert!(
            env::var_os("HANDFAST_REQUIRE_CORPORA").is_none(),
            "HANDFAST_CORPORA names no folder, and HANDFAST_REQUIRE_CORPORA demands one"
        );
        handfast_testbed::skipped::note(
            "HANDFAST_CORPORA names no folder of corpora, so no verdict is compared",
        );
        return;
    };
    let home = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance");
    let ledger = Ledger::read(&Suite::Corpora.ledger(&home)).expect("the ledger can be read");
    let run = Run {
        with,
        program: PathBuf::new(),
        home,
        port: None,
        only: None,
    };
    let results = Suite::Corpora.run(&run).expect("the corpora can be read");
    let differences: Vec<String> = ledger
        .compare(&results, true)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}
