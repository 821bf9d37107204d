//! h2spec: its program tests `handfast serve` as an HTTP/2 server, including strict cases.

use std::fs;
use std::process::{Command, Stdio};

use crate::ledger::{Results, TestResult, column};
use crate::serving::Serving;
use crate::suite_run::{Run, SuiteError};

/// How many seconds a test waits for a response. Longer than its default, for loaded machines.
const ANSWER_WITHIN: &str = "5";

/// Runs h2spec.
///
/// # Errors
/// A server or a program that does not start, or no results.
pub fn run(run: &Run) -> Result<Results, SuiteError> {
    let server = match run.port {
        Some(port) => Serving::elsewhere(port),
        None => Serving::start(&run.program, &[])?,
    };
    let place = tempfile::tempdir().map_err(|error| SuiteError(error.to_string()))?;
    let report = place.path().join("report.xml");
    let mut command = Command::new(&run.with);
    command
        .args([
            "--strict",
            "-t",
            "-k",
            "-h",
            "127.0.0.1",
            "-o",
            ANSWER_WITHIN,
            "-p",
        ])
        .arg(server.port().to_string())
        .arg("-j")
        .arg(&report)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(only) = &run.only {
        command.arg(only);
    }
    command
        .status()
        .map_err(|error| SuiteError::at(&run.with, error))?;
    let text = fs::read_to_string(&report).map_err(|error| SuiteError::at(&report, error))?;
    Ok(results_of(&text))
}

/// Parses its report in JUnit format.
fn results_of(report: &str) -> Results {
    let mut results = Results::new();
    for case in report.split("<testcase ").skip(1) {
        let (Some(package), Some(name)) =
            (attribute(case, "package"), attribute(case, "classname"))
        else {
            continue;
        };
        let body = case.split("</testcase>").next().unwrap_or_default();
        let result = if body.contains("<failure") || body.contains("<error") {
            TestResult::Deviates(answer(body))
        } else if body.contains("<skipped") {
            TestResult::Skipped
        } else {
            TestResult::Passed
        };
        results.insert(column(&format!("{package}: {name}")), result);
    }
    results
}

fn attribute(case: &str, name: &str) -> Option<String> {
    let rest = case.split(&format!("{name}=\"")).nth(1)?;
    Some(unescape(rest.split('"').next()?))
}

/// The actual response: the last line, after the expected ones.
fn answer(body: &str) -> String {
    let text = body.split("<failure").last().unwrap_or(body);
    let text = text.split("<error").last().unwrap_or(text);
    let text = text.split_once('>').map_or(text, |(_, text)| text);
    let text = unescape(text.split("</").next().unwrap_or_default());
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    column(last.unwrap_or("another response"))
}

fn unescape(text: &str) -> String {
    text.replace("&#xA;", "\n")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_parsed() {
        let report = r#"<testsuites><testsuite name="1">
            <testcase package="generic/1" classname="Sends a &#34;preface&#34;" time="0.1"></testcase>
            <testcase package="http2/5.3.1" classname="Sends PRIORITY" time="5.0">
              <error>GOAWAY Frame (Error Code: PROTOCOL_ERROR)
Connection closed
Timeout</error></testcase>
            <testcase package="hpack/6" classname="Skipped" time="0"><skipped></skipped></testcase>
        </testsuite></testsuites>"#;
        let results = results_of(report);
        assert_eq!(
            results["generic/1: Sends a \"preface\""],
            TestResult::Passed
        );
        assert_eq!(
            results["http2/5.3.1: Sends PRIORITY"],
            TestResult::Deviates("Timeout".to_owned())
        );
        assert_eq!(results["hpack/6: Skipped"], TestResult::Skipped);
    }
}
