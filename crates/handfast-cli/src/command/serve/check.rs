//! `serve --check`: checks a configuration. Not only the first problem is shown: first those of the file, then, if it has
//! none, those of what it names. Nothing is created, and no address is listened on.

use std::process::ExitCode;

use handfast::Explanation;

use super::args::Args;
use super::certificates::Remarks;
use super::config;
use super::context;
use super::held::Held;
use super::reading::read;
use super::sandbox;
use crate::failure::{Failure, code};
use crate::output;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let (settings, config) = match read(args) {
        Ok(read) => read,
        Err(failures) => {
            let failure = end(failures, 0);
            output::note(
                "not checked until this is corrected: certificates, directories, CAs and revocation lists",
            );
            return Err(failure);
        }
    };
    let text = config.as_ref().map(|config| &config.text);
    let mut held = Held::default();
    let mut remarks = Remarks::default();
    let problems = context::check(&settings, &mut held, &mut remarks);
    // Last: it gives up rights.
    let user = sandbox::check(args, &settings, &mut remarks).err();
    for note in &remarks.notes {
        output::note(note);
    }
    for warning in &remarks.warnings {
        let shown = warning.shown(text);
        match warning.is_fatal {
            true => output::problem(shown),
            false => output::warning(shown),
        }
    }
    let refused = remarks.warnings.iter().filter(|warning| warning.is_fatal);
    let (mut failures, refused) = (config::shown(problems, text), refused.count());
    failures.extend(user);
    if failures.is_empty() && refused == 0 {
        let sites = match settings.sites.len() {
            1 => "one site".to_owned(),
            count => format!("{count} sites"),
        };
        output::write_stdout(format!("nothing is wrong: {sites}\n").as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(end(failures, refused))
}

/// Shows everything, and counts it.
fn end(failures: Vec<Failure>, refused: usize) -> Failure {
    for failure in &failures {
        output::failure(failure);
    }
    let count = failures.len() + refused;
    let what = match count {
        1 => "the check found a problem".to_owned(),
        _ => format!("the check found {count} problems"),
    };
    let code = failures.first().map_or(code::OTHER, |failure| failure.code);
    Failure::new(code, Explanation::new("check-failed", what))
}
