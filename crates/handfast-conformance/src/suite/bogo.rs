//! BoGo: its runner starts our shim ([`crate::bogo`]) for each test.
//!
//! Two files configure it: `bogo-not-applicable.tsv` has patterns of tests that need what handfast does not
//! support, and why; `bogo-errors.tsv` maps BoringSSL's errors to text in ours.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::ledger::{Results, TestResult, column};
use crate::suite_run::{Run, SuiteError};

/// How many tests run at a time: they mostly wait for each other's processes.
const WORKERS: &str = "3";

/// Runs BoGo.
///
/// # Errors
/// A runner that does not start or writes no results; malformed configuration files.
pub fn run(run: &Run) -> Result<Results, SuiteError> {
    let place = tempfile::tempdir().map_err(|error| SuiteError(error.to_string()))?;
    let config = place.path().join("config.json");
    let output = place.path().join("results.json");
    let log = place.path().join("log");
    let text = config_of(&run.home)?.to_string();
    fs::write(&config, text).map_err(|error| SuiteError::at(&config, error))?;
    let shim = std::env::current_exe()
        .map_err(|error| SuiteError(error.to_string()))?
        .with_file_name("bogo-shim");
    let file = File::create(&log).map_err(|error| SuiteError::at(&log, error))?;
    let runner = fs::canonicalize(&run.with).map_err(|error| SuiteError::at(&run.with, error))?;
    let mut command = Command::new(&runner);
    command
        .arg("-shim-path")
        .arg(&shim)
        .arg("-shim-config")
        .arg(&config)
        .arg("-json-output")
        .arg(&output)
        .args(["-num-workers", WORKERS, "-allow-unimplemented", "-pipe"])
        .args(["-test.timeout", "60m"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(file);
    if let Some(only) = &run.only {
        command.args(["-test", only]);
    }
    // Its exit code is ignored, because the results show failures.
    command
        .status()
        .map_err(|error| SuiteError::at(&runner, error))?;
    match fs::read_to_string(&output) {
        Ok(text) => results_of(&text),
        Err(_) => Err(SuiteError(fs::read_to_string(&log).unwrap_or_default())),
    }
}

/// The runner's configuration.
fn config_of(home: &Path) -> Result<Value, SuiteError> {
    let disabled: BTreeMap<_, _> = pairs(&home.join("bogo-not-applicable.tsv"))?
        .into_iter()
        .collect();
    let mut errors = BTreeMap::<_, Vec<_>>::new();
    for (theirs, ours) in pairs(&home.join("bogo-errors.tsv"))? {
        errors.entry(theirs).or_default().push(ours);
    }
    Ok(json!({
        "DisabledTests": disabled,
        "ErrorMap": errors,
        // No tickets are sent before the client's Finished.
        "HalfRTTTickets": 0,
    }))
}

/// The lines of a file of two columns.
///
/// # Errors
/// A file that cannot be read, or a line without two columns.
pub fn pairs(path: &Path) -> Result<Vec<(String, String)>, SuiteError> {
    let text = fs::read_to_string(path).map_err(|error| SuiteError::at(path, error))?;
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line.split_once('\t') {
            Some((first, second)) if !first.is_empty() && !second.trim().is_empty() => {
                Ok((first.to_owned(), second.to_owned()))
            }
            _ => Err(SuiteError::at(path, format!("not two columns: {line}"))),
        })
        .collect()
}

/// Parses the runner's results.
fn results_of(text: &str) -> Result<Results, SuiteError> {
    let results: Value =
        serde_json::from_str(text).map_err(|error| SuiteError(error.to_string()))?;
    let Some(tests) = results["tests"].as_object() else {
        return Err(SuiteError("results without tests".to_owned()));
    };
    let result = |test: &Value| match test["actual"].as_str() {
        Some("PASS") => TestResult::Passed,
        Some("SKIP") => TestResult::Skipped,
        _ => TestResult::Deviates(summary(test["error"].as_str().unwrap_or_default())),
    };
    let tests = tests.iter();
    Ok(tests
        .map(|(name, test)| (name.clone(), result(test)))
        .collect())
}

/// The failure, without parts that differ between runs: the kind, and the alert that the runner received.
fn summary(error: &str) -> String {
    let kind = error.lines().next().unwrap_or_default();
    let local = error.split("local: \"").nth(1).unwrap_or_default();
    let local = local.split('"').next().unwrap_or_default();
    match local.strip_prefix("remote error: ") {
        Some(alert) => column(&format!("{kind}: alert: {alert}")),
        None => column(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_omit_what_differs_between_runs() {
        let text = r#"{"tests": {
            "A": {"actual": "PASS", "expected": "PASS"},
            "B": {"actual": "SKIP", "expected": "SKIP"},
            "C": {"actual": "FAIL", "expected": "PASS",
                  "error": "unexpected error\ngot:\n\tstderr:\n\t\t[x]\n\tlocal: \"remote error: bad certificate\"\n\tchild: \"exit status 1\"\n"},
            "D": {"actual": "FAIL", "expected": "PASS",
                  "error": "unexpected failure\ngot:\n\tstderr:\n\t\t\n\tlocal: \"read tcp 127.0.0.1:4711: reset\"\n"}
        }}"#;
        let results = results_of(text).expect("results");
        assert_eq!(results["A"], TestResult::Passed);
        assert_eq!(results["B"], TestResult::Skipped);
        let deviates = |text: &str| TestResult::Deviates(text.to_owned());
        assert_eq!(
            results["C"],
            deviates("unexpected error: alert: bad certificate")
        );
        assert_eq!(results["D"], deviates("unexpected failure"));
    }
}
