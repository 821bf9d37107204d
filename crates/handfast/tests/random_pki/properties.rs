//! The properties, and the survey that lists what contradicts them.

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

/// How many cases a run draws where nothing else is said: about 10 seconds in a debug build.
const CASES: u32 = 3000;
/// How many the survey draws: always the same, so that two states of the verifier can be compared.
const SURVEYED: u32 = 300;
/// Of how many cases OpenSSL sees one: a process takes longer than all the rest of a case.
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

    /// The verdict is the oracle's, the reason is true, and the culprit is the certificate at fault.
    #[test]
    fn verdict_and_culprit_are_those_of_the_construction(recipe in recipe()) {
        check(&recipe)?;
    }

    /// What the advice says to do helps.
    #[test]
    fn advice_that_is_carried_out_removes_the_fault(recipe in recipe()) {
        let pki = build(&recipe);
        if let Err(problem) = advice::follow(&pki) {
            return Err(TestCaseError::fail(problem));
        }
    }
}

proptest! {
    #![proptest_config(config(cases() / OPENSSL_SEES_ONE_OF))]

    /// Nothing is accepted that OpenSSL refuses, nor the reverse, but for the rules on `openssl`'s list.
    #[test]
    fn openssl_agrees_but_where_its_rules_are_others(recipe in recipe()) {
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

/// The same cases in each run have no disagreement of any kind. Where they have, each kind is listed with its
/// smallest example.
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
    println!("{cases} cases, {refused} refused as they should be");
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
