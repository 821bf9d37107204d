//! The table of chains in `docs/verification.md` says what handfast does today.

use std::fs;

use handfast_conformance::verdicts::{all, document, rows};

#[test]
fn the_document_tells_the_verdict_and_the_cause_of_every_chain() {
    let text = fs::read_to_string(document()).expect("docs/verification.md can be read");
    let told: Vec<(String, String)> = rows(&text)
        .expect("it has the table")
        .into_iter()
        .map(|row| (row.what, row.handfast))
        .collect();
    let today: Vec<(String, String)> = all()
        .iter()
        .map(|chain| (chain.what.to_owned(), chain.verdict()))
        .collect();
    assert!(today.len() >= 60, "{} chains", today.len());
    // `conformance/verdicts --write` makes the table again: read it.
    assert_eq!(told, today);
}
