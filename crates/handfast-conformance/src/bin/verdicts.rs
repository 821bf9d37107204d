//! `verdicts`: asks handfast, OpenSSL, GnuTLS and Go about the same chains, and prints the table; `--write` puts it into
//! `docs/verification.md`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use handfast_conformance::verdicts::{Problem, Row, all, document, others, with_rows};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let write = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--write"] => true,
        _ => {
            eprintln!("usage: conformance/verdicts [--write]");
            return ExitCode::from(2);
        }
    };
    match table(write) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("verdicts: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn table(write: bool) -> Result<(), Problem> {
    let chains = all();
    let go = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/verdicts-go");
    let others = others::ask(&chains, &go)?;
    let rows: Vec<Row> = chains
        .iter()
        .zip(others)
        .map(|(chain, others)| Row {
            what: chain.what.to_owned(),
            handfast: chain.verdict(),
            others: others.to_vec(),
        })
        .collect();
    if write {
        let path = document();
        let text = fs::read_to_string(&path).map_err(Problem::of("docs/verification.md"))?;
        return fs::write(&path, with_rows(&text, &rows)?)
            .map_err(Problem::of("docs/verification.md"));
    }
    for row in &rows {
        println!(
            "{} | {} | {}",
            row.what,
            row.handfast,
            row.others.join(" | ")
        );
    }
    println!("{} chains", rows.len());
    Ok(())
}
