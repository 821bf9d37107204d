//! `conformance SUITE --with PATH`: runs a public test suite, and compares the results with the ledger of known deviations.

use std::path::PathBuf;
use std::process::ExitCode;

use handfast_conformance::ledger::{Ledger, Results, TestResult};
use handfast_conformance::suite::{Run, Suite};

const USAGE: &str = "\
usage: conformance/run SUITE --with PATH [--only PATTERN] [--port N] [--write]
       conformance/run check

  --with PATH      what the suite needs of itself, see below
  --only PATTERN   these tests only, in the suite's own patterns
  --port N         another server, on this port of 127.0.0.1, with an RSA certificate: what deviates is listed, and
                   no ledger asked (h2spec, hellos, tlsfuzzer)
  --write          write the ledger of this run; new deviations get the reason `?`, to be replaced by hand
  check            the form of the ledgers alone

The variable HANDFAST names the program to test, where it is not the one built here.

suites, and what --with names:
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["check"] => check(),
        [name, options @ ..] => match (Suite::named(name), Options::parse(options)) {
            (Some(suite), Some(options)) => run(suite, &options),
            _ => usage(),
        },
        [] => usage(),
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    for suite in Suite::ALL {
        eprintln!("  {:<14} {}", suite.name(), suite.needs());
    }
    ExitCode::from(2)
}

struct Options {
    with: PathBuf,
    only: Option<String>,
    port: Option<u16>,
    write: bool,
}

impl Options {
    fn parse(mut arguments: &[&str]) -> Option<Self> {
        let (mut with, mut only, mut port, mut write) = (None, None, None, false);
        loop {
            arguments = match arguments {
                [] => break,
                ["--with", path, rest @ ..] => {
                    with = Some(PathBuf::from(path));
                    rest
                }
                ["--only", pattern, rest @ ..] => {
                    only = Some((*pattern).to_owned());
                    rest
                }
                ["--port", number, rest @ ..] => {
                    port = Some(number.parse().ok()?);
                    rest
                }
                ["--write", rest @ ..] => {
                    write = true;
                    rest
                }
                _ => return None,
            }
        }
        let with = with?;
        Some(Self {
            with,
            only,
            port,
            write,
        })
    }
}

/// The folder of ledgers: `conformance/`, next to `crates/`.
fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance")
}

fn run(suite: Suite, options: &Options) -> ExitCode {
    let program = std::env::var_os("HANDFAST").map_or_else(
        || std::env::current_exe().map(|own| own.with_file_name("handfast")),
        |named| Ok(PathBuf::from(named)),
    );
    let run = Run {
        with: options.with.clone(),
        program: program.unwrap_or_else(|_| PathBuf::from("handfast")),
        home: home(),
        port: options.port,
        only: options.only.clone(),
    };
    let path = suite.ledger(&run.home);
    let ledger = match Ledger::read(&path) {
        Ok(ledger) => ledger,
        Err(error) => return failed(&format!("{}: {error}", path.display())),
    };
    let results = match suite.run(&run) {
        Ok(results) if results.is_empty() => return failed("no test was run"),
        Ok(results) => results,
        Err(error) => return failed(&error.to_string()),
    };
    totals(suite, &results);
    if options.port.is_some() {
        for (test, result) in &results {
            if let TestResult::Deviates(what) = result {
                println!("{test}: {what}");
            }
        }
        return ExitCode::SUCCESS;
    }
    if options.write && options.only.is_none() {
        let updated = ledger.updated(&results);
        if let Err(error) = updated.write(&path) {
            return failed(&error.to_string());
        }
        for test in updated.without_reason() {
            println!("a reason is missing: {test}");
        }
        return ExitCode::SUCCESS;
    }
    let differences = ledger.compare(&results, options.only.is_none());
    for difference in &differences {
        println!("{difference}");
    }
    match differences.is_empty() {
        true => {
            println!("as in the ledger");
            ExitCode::SUCCESS
        }
        false => failed(&format!(
            "{} differences from {}",
            differences.len(),
            path.display()
        )),
    }
}

fn totals(suite: Suite, results: &Results) {
    let count = |wanted: fn(&TestResult) -> bool| results.values().filter(|r| wanted(r)).count();
    let passed = count(|result| matches!(result, TestResult::Passed));
    let deviating = count(|result| matches!(result, TestResult::Deviates(_)));
    let skipped = count(|result| matches!(result, TestResult::Skipped));
    println!(
        "{}: {} run, {passed} passed, {deviating} deviate, {skipped} skipped",
        suite.name(),
        passed + deviating,
    );
}

/// Checks the format of all ledgers.
fn check() -> ExitCode {
    let mut failures = 0;
    for suite in Suite::ALL {
        let path = suite.ledger(&home());
        match Ledger::read(&path) {
            Ok(ledger) => {
                for test in ledger.without_reason() {
                    println!("{}: no reason: {test}", path.display());
                    failures += 1;
                }
            }
            Err(error) => {
                println!("{}: {error}", path.display());
                failures += 1;
            }
        }
    }
    match failures {
        0 => ExitCode::SUCCESS,
        _ => failed("a ledger is malformed or has no reason"),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("conformance: {why}");
    ExitCode::FAILURE
}
