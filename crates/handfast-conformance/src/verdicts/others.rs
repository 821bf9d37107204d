//! What other verifiers say of a chain: OpenSSL, GnuTLS and Go's crypto/x509, each by a program of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};

use handfast_testbed::pki::pem;

use super::{Chain, Problem};

/// What others say: OpenSSL, GnuTLS, Go.
pub type Others = [String; 3];

/// How the columns are headed.
pub const NAMES: [&str; 3] = ["OpenSSL", "GnuTLS", "Go"];

const ACCEPTED: &str = "accepted";

/// Asks all three about every chain. `go` is the folder of the Go program.
///
/// # Errors
/// A program that is not there.
pub fn ask(chains: &[Chain], go: &Path) -> Result<Vec<Others>, Problem> {
    let folder = tempfile::tempdir().map_err(Problem::of("a temporary folder"))?;
    for (number, chain) in chains.iter().enumerate() {
        write(&folder.path().join(number.to_string()), chain)?;
    }
    let mut by_go = ask_go(folder.path(), go)?;
    chains
        .iter()
        .enumerate()
        .map(|(number, chain)| {
            let case = folder.path().join(number.to_string());
            let go = by_go
                .remove(&number.to_string())
                .unwrap_or_else(|| "no answer".to_owned());
            Ok([openssl(&case, chain)?, gnutls(&case, chain)?, go])
        })
        .collect()
}

fn write(case: &Path, chain: &Chain) -> Result<(), Problem> {
    let text = |ders: &[handfast::CertificateDer<'_>]| -> String {
        ders.iter().map(|der| pem("CERTIFICATE", der)).collect()
    };
    let (first, rest) = chain.sent.split_at(1);
    fs::create_dir(case).map_err(Problem::of("a temporary folder"))?;
    for (file, text) in [
        ("first.pem", text(first)),
        ("rest.pem", text(rest)),
        ("sent.pem", text(&chain.sent)),
        ("trusted.pem", text(&chain.trusted)),
        ("name", chain.name.to_owned()),
    ] {
        fs::write(case.join(file), text).map_err(Problem::of(file))?;
    }
    Ok(())
}

fn run(program: &str, command: &mut Command) -> Result<Output, Problem> {
    command.output().map_err(Problem::of(program))
}

/// `openssl verify` with what `s_client` demands of a server, at the level of security that Debian sets.
fn openssl(case: &Path, chain: &Chain) -> Result<String, Problem> {
    let mut command = Command::new("openssl");
    command.current_dir(case).args([
        "verify",
        "-no-CApath",
        "-no-CAstore",
        "-purpose",
        "sslserver",
    ]);
    command.args(["-auth_level", "2", "-CAfile", "trusted.pem"]);
    let is_address = chain.name.parse::<IpAddr>().is_ok();
    command.args([
        if is_address {
            "-verify_ip"
        } else {
            "-verify_hostname"
        },
        chain.name,
    ]);
    if chain.sent.len() > 1 {
        command.args(["-untrusted", "rest.pem"]);
    }
    let output = run("openssl", command.arg("first.pem"))?;
    if output.status.success() {
        return Ok(ACCEPTED.to_owned());
    }
    // The first error; others may follow.
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let mut errors = said.lines().filter_map(|line| line.strip_prefix("error "));
    Ok(match errors.find_map(|line| line.split_once(" at ")) {
        Some((number, rest)) => {
            let (depth, text) = rest.split_once(" depth lookup: ").unwrap_or(("", rest));
            format!("{text} ({number}, at {depth})")
        }
        None => "cannot be read".to_owned(),
    })
}

/// `certtool --verify`.
fn gnutls(case: &Path, chain: &Chain) -> Result<String, Problem> {
    let mut command = Command::new("certtool");
    command
        .current_dir(case)
        .args(["--verify", "--infile", "sent.pem"]);
    command.args([
        "--load-ca-certificate",
        "trusted.pem",
        "--verify-purpose",
        "1.3.6.1.5.5.7.3.1",
    ]);
    let output = run("certtool", command.args(["--verify-hostname", chain.name]))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let verdict = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Chain verification output: "));
    Ok(match verdict {
        Some(verdict) if output.status.success() && verdict.starts_with("Verified") => {
            ACCEPTED.to_owned()
        }
        Some(verdict) => {
            let reasons = verdict
                .split_once("NOT trusted. ")
                .map_or(verdict, |(_, reasons)| reasons);
            reasons.trim().trim_end_matches('.').to_owned()
        }
        None => "cannot be read".to_owned(),
    })
}

/// Go's answers by the number of the chain.
fn ask_go(cases: &Path, program: &Path) -> Result<BTreeMap<String, String>, Problem> {
    let mut command = Command::new("go");
    command.current_dir(program).args(["run", "."]).arg(cases);
    let output = run("go", &mut command)?;
    if !output.status.success() {
        return Err(Problem(format!(
            "go: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let answers = said.lines().filter_map(|line| line.split_once('\t'));
    Ok(answers
        .map(|(number, answer)| (number.to_owned(), answer.to_owned()))
        .collect())
}
