//! `handfast inspect`: examines a TLS endpoint, or a chain in a file.
//!
//! `arguments.rs` is what can be asked; `live.rs` examines servers, `file.rs` files; both fill plain values (`findings.rs`), which `text.rs`
//! prints for users and `json.rs` for programs. After a failed verification, a second handshake without
//! verification is made, for diagnosis only.

mod arguments;
mod fetch;
mod file;
mod findings;
mod json;
mod live;
mod probing;
mod route;
mod status;
mod text;
mod words;

use std::io::{self, Write};
use std::process::ExitCode;

use handfast::{Explanation, certificates_to_pem};

pub(crate) use arguments::Args;

use crate::failure::{Failure, code};
use crate::output::{self, Palette};

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.trust.key.is_some() && args.trust.cert.is_none() && args.files.file.is_none() {
        return Err(Failure::usage(
            "--key without the certificate that it belongs to",
            "add --cert FILE, or --file CHAIN to compare the two",
        ));
    }
    if args.pem.is_some() && args.hosts.len() > 1 {
        return Err(Failure::usage(
            "--pem with several hosts: their chains would overwrite each other",
            "inspect one host at a time",
        ));
    }
    let found = match &args.files.file {
        Some(chain) => vec![file::inspect(chain, &args)?],
        None => live::inspect_all(&args)?,
    };
    if let (Some(path), Some(first)) = (&args.pem, found.first()) {
        let completed = first.completed.as_ref().map(|completed| &completed.chain);
        let chain = completed.unwrap_or(&first.chain);
        std::fs::write(path, certificates_to_pem(chain)).map_err(|error| {
            let what = format!("{} cannot be written", path.display());
            let explanation = Explanation::new("file-unusable", what);
            Failure::new(code::WRITE, explanation.with_evidence(error.to_string()))
        })?;
    }
    let told = if args.json {
        json::document(&found)
    } else {
        let palette = Palette::stdout();
        let each: Vec<String> = found.iter().map(|one| text::page(one, palette)).collect();
        output::fit(&each.join("\n"))
    };
    if let Err(error) = io::stdout().lock().write_all(told.as_bytes())
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        let explanation = Explanation::new("file-unusable", "the report cannot be written");
        let explanation = explanation.with_evidence(error.to_string());
        return Err(Failure::new(code::WRITE, explanation));
    }
    let mut exit = code::SUCCESS;
    for failure in found.iter().filter_map(findings::Findings::failure) {
        if !args.json {
            output::failure(&failure);
        }
        // A failure takes precedence over a chain that expires soon.
        if exit == code::SUCCESS || exit == code::OTHER {
            exit = failure.code;
        }
    }
    Ok(ExitCode::from(exit))
}
