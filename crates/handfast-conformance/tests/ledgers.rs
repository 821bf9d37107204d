//! The ledgers as they stand in `conformance/`: of the right form, with a reason for everything.

use std::path::PathBuf;

use handfast_conformance::ledger::Ledger;
use handfast_conformance::suite::{Suite, bogo};

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance")
}

#[test]
fn every_deviation_has_a_reason_that_says_what_kind_it_is() {
    const KINDS: [&str; 5] = ["policy: ", "rustls: ", "not offered: ", "open: ", "RFC "];
    for suite in Suite::ALL {
        let ledger = Ledger::read(&suite.ledger(&home()))
            .unwrap_or_else(|error| panic!("{}: {error}", suite.name()));
        for (test, entry) in &ledger.entries {
            assert!(
                KINDS.iter().any(|kind| entry.reason.starts_with(kind)),
                "{}: {test}: {:?} begins with none of {KINDS:?}",
                suite.name(),
                entry.reason,
            );
        }
    }
}

#[test]
fn the_files_for_bogo_have_two_columns() {
    for file in ["bogo-not-applicable.tsv", "bogo-errors.tsv"] {
        let lines = bogo::pairs(&home().join(file)).expect(file);
        assert!(!lines.is_empty(), "{file}");
    }
}

/// Words of rustls begin otherwise. A message of ours that is worded differently from now on would make tests of BoGo
/// deviate.
#[test]
fn messages_that_bogo_s_errors_are_mapped_to_are_those_of_the_library() {
    let sources = home().join("../crates/handfast/src/classify.rs");
    let sources = std::fs::read_to_string(sources).expect("the library's classification of errors");
    let mapped = bogo::pairs(&home().join("bogo-errors.tsv")).expect("two columns");
    let ours: Vec<_> = mapped
        .iter()
        .map(|(_, words)| words)
        .filter(|words| words.starts_with("a ") || words.starts_with("an "))
        .collect();
    assert!(!ours.is_empty());
    for words in ours {
        assert!(
            sources.contains(words.as_str()),
            "no message says {words:?}"
        );
    }
}
