//! The properties, and a survey of their violations.

use std::collections::BTreeMap;
use std::env;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::build::build;
use crate::judge::{compare, verify};
use crate::model::Pki;
use crate::recipe::{Recipe, recipe};
use crate::{advice, openssl, oracle};

/// The default number of cases: about 10 seconds in a debug build.
const CASES: u32 = 3000;
/// The number of cases in the survey: always the same, so that two versions of the verifier can be compared.
const SURVEYED: u32 = 300;
/// One of this many cases is passed to OpenSSL: a process takes longer than the rest of a case.
const OPENSSL_SEES_ONE_OF: u32 = 10;

fn cases() -> u32 {
    wanted().unwrap_or(CASES)
}

fn wanted() -> Option<u32> {
    env::var("PROPTEST_CASES").ok()?.parse().ok()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(cases()))]

    /// The verdict, the reason and the certificate at fault are the expected ones.
    #[test]
    fn verdict_and_certificate_at_fault_are_the_expected_ones(recipe in recipe()) {
        check(&recipe)?;
    }

    /// Following the advice helps.
    #[test]
    fn following_the_advice_removes_the_fault(recipe in recipe()) {
        let pki = build(&recipe);
        if let Err(problem) = advice::follow(&pki) {
            return Err(TestCaseError::fail(problem));
        }
    }
}

proptest! {
    #![proptest_config(config(cases() / OPENSSL_SEES_ONE_OF))]

    /// OpenSSL has the same verdict, except for the differences in the table of `openssl`.
    #[test]
    fn openssl_agrees_except_for_listed_differences(recipe in recipe()) {
        let Some(openssl) = openssl::program() else {
            return Ok(());
        };
        if let Err(problem) = openssl::compare(openssl, &build(&recipe)) {
            return Err(TestCaseError::fail(problem));
        }
    }
}

fn check(recipe: &Recipe) -> Result<(), TestCaseError> {
    let pki = build(recipe);
    match compare(&oracle::judge(&pki).expected, verify(&pki)) {
        Ok(_) => Ok(()),
        Err(disagreement) => Err(TestCaseError::fail(format!("{disagreement}\n{pki}"))),
    }
}

/// The same cases in each run have no disagreement. If they have, each kind is listed with its smallest example.
#[test]
fn survey() {
    let cases = wanted().unwrap_or(SURVEYED);
    let mut runner = TestRunner::deterministic();
    if let Ok(seed) = env::var("HANDFAST_SURVEY_SEED") {
        for _ in 0..seed.parse().unwrap_or(0) {
            let _ = recipe().new_tree(&mut runner);
        }
    }
    let mut found: BTreeMap<String, Vec<(Pki, String)>> = BTreeMap::new();
    let mut refused = 0;
    for case in 0..cases {
        let recipe = recipe().new_tree(&mut runner).unwrap().current();
        let pki = build(&recipe);
        let mut note = |kind: String, detail: String| {
            found.entry(kind).or_default().push((pki.clone(), detail));
        };
        match compare(&oracle::judge(&pki).expected, verify(&pki)) {
            Ok(got) => refused += u32::from(got.is_err()),
            Err(disagreement) => note(disagreement.kind(), disagreement.to_string()),
        }
        if let Err(problem) = advice::follow(&pki) {
            let kind = problem.lines().next().unwrap_or_default().to_owned();
            note(format!("advice: {kind}"), problem);
        }
        if case % OPENSSL_SEES_ONE_OF == 0
            && let Some(openssl) = openssl::program()
            && let Err(problem) = openssl::compare(openssl, &pki)
        {
            let kind = problem.lines().next().unwrap_or_default().to_owned();
            note(format!("OpenSSL: {kind}"), problem);
        }
    }
    let mut kinds: Vec<_> = found.into_iter().collect();
    kinds.sort_by_key(|(_, examples)| std::cmp::Reverse(examples.len()));
    println!("{cases} cases, {refused} refused as expected");
    for (kind, examples) in &kinds {
        println!("\n{} x {kind}", examples.len());
        let smallest = examples.iter().min_by_key(|(pki, _)| pki.to_string().len());
        if let Some((pki, detail)) = smallest {
            println!("  {detail}\n{pki}");
        }
    }
    assert!(kinds.is_empty(), "{} kinds of disagreement", kinds.len());
    assert!(
        0 < refused && refused < cases,
        "{refused} of {cases} refused"
    );
}
