//! tlsfuzzer: its scripts run conversations with `handfast serve`, and report unexpected responses.
//!
//! `tlsfuzzer-scripts.tsv` lists each script of a checkout: the server that it is run against, how the names of its
//! conversations are read, its arguments; or why it does not apply. A script that is not in the file is a
//! deviation, so that new ones are noticed. A script can be run only once against each server.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use handfast_testbed::pki::{Key, Pki, Spec, pem};

use crate::ledger::{Results, TestResult, column};
use crate::serving::Serving;
use crate::suite_run::{Run, SuiteError};

/// How many scripts run at a time: each mostly waits.
const WORKERS: usize = 2;

/// The names of the test servers.
const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// The interpreter, unless the variable `PYTHON` names another: it must have tlslite-ng.
const PYTHON: &str = "python3";

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Script {
    server: String,
    name: String,
    /// Numbers in the names of conversations are replaced, because they are random.
    without_numbers: bool,
    arguments: String,
}

/// Runs the scripts.
///
/// # Errors
/// Servers that do not start, files that cannot be read.
pub fn run(run: &Run) -> Result<Results, SuiteError> {
    let listed = scripts(&run.home.join("tlsfuzzer-scripts.tsv"))?;
    let mut results = Results::new();
    for name in in_checkout(&run.with)? {
        if !listed.iter().any(|script| script.name == name) {
            let what = "not in tlsfuzzer-scripts.tsv".to_owned();
            results.insert(name, TestResult::Deviates(what));
        }
    }
    let files = ClientFiles::make()?;
    let servers = match run.port {
        Some(port) => Servers(BTreeMap::from([("rsa", Serving::elsewhere(port))])),
        None => Servers::start(&run.program, &files)?,
    };
    let wanted = listed.into_iter().filter(|script| {
        script.server != "-"
            && run
                .only
                .as_ref()
                .is_none_or(|only| script.name.contains(only))
    });
    let queue: Mutex<Vec<Script>> = Mutex::new(wanted.collect());
    let results = Mutex::new(results);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(script) = queue.lock().ok().and_then(|mut queue| queue.pop()) {
                    let found = run_script(run, &script, &servers, &files);
                    if let Ok(mut results) = results.lock() {
                        results.extend(found);
                    }
                }
            });
        }
    });
    let results = results
        .into_inner()
        .map_err(|_| SuiteError("a worker ended early".to_owned()))?;
    // A Python without the required modules fails for each.
    match results
        .iter()
        .find(|(_, result)| **result == TestResult::Passed)
    {
        Some(_) => Ok(results),
        None => Err(SuiteError(format!("no conversation passed: {results:?}"))),
    }
}

/// Runs one script, and returns the result of each of its conversations.
fn run_script(run: &Run, script: &Script, servers: &Servers, files: &ClientFiles) -> Results {
    let arguments = files.fill(&script.arguments);
    let label = format!("{} {}", script.server, script.name);
    let Some(server) = servers.0.get(script.server.as_str()) else {
        let what = TestResult::Deviates("there is no such server".to_owned());
        return Results::from([(column(&label), what)]);
    };
    let python = std::env::var_os("PYTHON").unwrap_or_else(|| PYTHON.into());
    let output = Command::new(python)
        .arg(PathBuf::from("scripts").join(&script.name))
        .args(["-h", "127.0.0.1", "-p", &server.port().to_string()])
        .args(arguments.iter())
        .current_dir(&run.with)
        .env("PYTHONPATH", ".")
        .stdin(Stdio::null())
        .output();
    let text = match output {
        Ok(output) => {
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr)
        }
        Err(error) => error.to_string(),
    };
    results_of(&label, &text, script.without_numbers)
}

/// Parses a script's output. Of conversations with the same name, the first failure is reported.
fn results_of(label: &str, output: &str, without_numbers: bool) -> Results {
    let mut results = Results::new();
    let mut name = None;
    let mut problem = String::new();
    for line in output.lines() {
        if let Some(begun) = line
            .strip_suffix(" ...")
            .filter(|line| !line.starts_with(' '))
        {
            conclude(
                &mut results,
                label,
                name.take(),
                &mut problem,
                without_numbers,
            );
            name = Some(begun.to_owned());
        } else if line.starts_with("Test end") || line.starts_with("TOTAL:") {
            conclude(
                &mut results,
                label,
                name.take(),
                &mut problem,
                without_numbers,
            );
        } else if let Some(message) = exception(line) {
            problem = message;
        }
    }
    // Some scripts print nothing for each conversation, but all of them end with the names of failed ones.
    let failed = output
        .rsplit_once("\nFAILED:")
        .map_or("", |(_, names)| names);
    for line in failed.lines() {
        let quoted = line
            .strip_prefix('\t')
            .map(|name| name.trim_matches(['\'', '"']));
        if let Some(name) = quoted {
            problem = "failed".to_owned();
            let name = Some(name.replace("\\'", "'"));
            conclude(&mut results, label, name, &mut problem, without_numbers);
        }
    }
    if !output.contains("\nTOTAL: ") {
        let last = output.lines().last().unwrap_or_default();
        let what = TestResult::Deviates(column(&format!("did not finish: {last}")));
        results.insert(column(label), what);
    }
    results
}

fn conclude(
    results: &mut Results,
    label: &str,
    name: Option<String>,
    problem: &mut String,
    without_numbers: bool,
) {
    let Some(name) = name else { return };
    let name = match without_numbers {
        true => numbers_left_out(&name),
        false => name,
    };
    let test = column(&format!("{label}: {name}"));
    let result = match problem.is_empty() {
        true => TestResult::Passed,
        false => TestResult::Deviates(column(problem)),
    };
    problem.clear();
    let known = results.entry(test).or_insert(TestResult::Passed);
    if *known == TestResult::Passed {
        *known = result;
    }
}

/// The last line of a traceback: the unexpected message, without lengths and addresses.
fn exception(line: &str) -> Option<String> {
    let (kind, message) = line.split_once(": ")?;
    let is_kind = kind.ends_with("Error") && kind.chars().all(|c| c.is_alphanumeric() || c == '.');
    is_kind.then(|| match message.split_once("len=") {
        Some((before, _)) => format!("{before}...)"),
        None => message.to_owned(),
    })
}

fn numbers_left_out(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if !c.is_ascii_digit() {
            text.push(c);
        } else if !text.ends_with('#') {
            text.push('#');
        }
    }
    text
}

fn in_checkout(checkout: &Path) -> Result<Vec<String>, SuiteError> {
    let folder = checkout.join("scripts");
    let entries = fs::read_dir(&folder).map_err(|error| SuiteError::at(&folder, error))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_script = |name: &String| name.starts_with("test-") && name.ends_with(".py");
    Ok(names.filter(is_script).collect())
}

fn scripts(path: &Path) -> Result<Vec<Script>, SuiteError> {
    let text = fs::read_to_string(path).map_err(|error| SuiteError::at(path, error))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            match columns.as_slice() {
                [server, name, names, arguments] => Ok(Script {
                    server: (*server).to_owned(),
                    name: (*name).to_owned(),
                    without_numbers: *names == "numbers",
                    arguments: (*arguments).to_owned(),
                }),
                _ => Err(SuiteError::at(path, format!("not four columns: {line}"))),
            }
        })
        .collect()
}

/// Client certificates for the scripts, and their issuer. The suite's own have expired.
struct ClientFiles {
    place: tempfile::TempDir,
    root: PathBuf,
}

impl ClientFiles {
    fn make() -> Result<Self, SuiteError> {
        let place = tempfile::tempdir().map_err(|error| SuiteError(error.to_string()))?;
        let pki = Pki::new();
        for (name, key) in [
            ("rsa", Key::Rsa2048),
            ("ecdsa", Key::P256),
            ("ed25519", Key::Ed25519),
        ] {
            let issued = pki.root.issue(Spec::client("a client").key(key));
            let write = |ending: &str, text: String| {
                let path = place.path().join(format!("{name}.{ending}"));
                fs::write(&path, text).map_err(|error| SuiteError::at(&path, error))
            };
            write("pem", issued.cert_pem())?;
            let key = issued.key_der();
            write(
                "key",
                pem("PRIVATE KEY", &without_public_key(key.secret_der())),
            )?;
        }
        let root = place.path().join("root.pem");
        fs::write(&root, pki.root.cert_pem()).map_err(|error| SuiteError::at(&root, error))?;
        Ok(Self { place, root })
    }

    /// Expands arguments: `~` is a space, and a name in braces one of these files.
    fn fill(&self, arguments: &str) -> Vec<String> {
        let folder = format!("{}/", self.place.path().display());
        let fill = |argument: &str| {
            argument
                .replace('~', " ")
                .replace('{', &folder)
                .replace('}', "")
        };
        arguments.split_whitespace().map(fill).collect()
    }
}

/// Converts an Ed25519 key from the second version of PKCS#8 (RFC 5958), which contains the public key, to the first
/// (RFC 5208), the only one that the scripts can read; any other key is returned unchanged.
fn without_public_key(key: &[u8]) -> Vec<u8> {
    /// An octet string with a key of 32 bytes in an octet string.
    const SEED: [u8; 4] = [0x04, 0x22, 0x04, 0x20];
    const HEAD: [u8; 12] = [0x30, 0x2e, 0x02, 1, 0, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70];
    let place = key.windows(4).position(|bytes| bytes == SEED);
    match place.and_then(|place| key.get(place..place + 36)) {
        Some(seed) => [&HEAD[..], seed].concat(),
        None => key.to_vec(),
    }
}

struct Servers(BTreeMap<&'static str, Serving>);

impl Servers {
    fn start(program: &Path, files: &ClientFiles) -> Result<Self, SuiteError> {
        let of = |key| Spec::server(NAMES).key(key);
        let root = files.root.to_string_lossy();
        let asking = ["--client-ca", &root, "--client-auth", "optional"];
        let mut servers = BTreeMap::new();
        for (name, key, options) in [
            ("rsa", Key::Rsa2048, &[][..]),
            ("ecdsa", Key::P256, &[]),
            ("ed25519", Key::Ed25519, &[]),
            ("tls12", Key::Rsa2048, &["--tls-max", "1.2"]),
            ("client", Key::Rsa2048, &asking),
        ] {
            let server = Serving::with_certificate(program, of(key), options)?;
            servers.insert(name, server);
        }
        Ok(Self(servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
sanity ...
OK

position 12 of 13 ...
Error encountered while processing node ExpectAlert()
Error while processing
Traceback (most recent call last):
  File \"x.py\", line 3, in main
AssertionError: Unexpected message from peer: ApplicationData(len=281)

position 4 of 5 ...
OK

sanity ...
OK

Test end
====================
TOTAL: 5
PASS: 3
FAILED:
\t'position 12 of 13'
\t'in silence'
";

    #[test]
    fn conversations_are_parsed_by_their_names() {
        let results = results_of("rsa test-x.py -d", OUTPUT, false);
        assert_eq!(results["rsa test-x.py -d: sanity"], TestResult::Passed);
        assert_eq!(
            results["rsa test-x.py -d: position 4 of 5"],
            TestResult::Passed
        );
        let what = "Unexpected message from peer: ApplicationData(...)";
        assert_eq!(
            results["rsa test-x.py -d: position 12 of 13"],
            TestResult::Deviates(what.to_owned())
        );
        assert_eq!(
            results["rsa test-x.py -d: in silence"],
            TestResult::Deviates("failed".to_owned())
        );
        assert_eq!(results.len(), 4);
    }

    #[test]
    fn without_numbers_one_failure_is_the_result_of_all_with_the_name() {
        let results = results_of("x", OUTPUT, true);
        assert!(matches!(
            results["x: position # of #"],
            TestResult::Deviates(_)
        ));
        assert_eq!(results.len(), 3);
    }

    #[test]
    fn a_script_that_does_not_finish_deviates() {
        let results = results_of("x", "Traceback\nValueError: no such suite\n", false);
        let what = "did not finish: ValueError: no such suite";
        assert_eq!(results["x"], TestResult::Deviates(what.to_owned()));
    }
}
