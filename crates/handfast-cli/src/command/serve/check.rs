//! `serve --check`: checks a configuration. All problems are shown: of the file, and of what it names where it has none. Nothing is created,
//! and no address is listened on.

use std::process::ExitCode;

use handfast::Explanation;

use super::args::Args;
use super::certificates::Remarks;
use super::config::{self, Config, Place, Problem};
use super::context;
use super::held::Held;
use super::sandbox;
use super::settings;
use crate::failure::{Failure, code};
use crate::output;

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut problems = Vec::new();
    let path = args.configuration.config.as_deref();
    let (text, config) = match path.map(Config::read_partly).transpose() {
        Ok(None) => (None, None),
        Ok(Some((text, config, found))) => {
            problems.extend(found);
            (Some(text), Some(config))
        }
        Err(failure) => return Err(end(vec![failure], 0)),
    };
    let text = text.as_ref();
    let has_mistakes = !problems.is_empty();
    let settings = match &config {
        // It cannot be used at all.
        Some(None) => None,
        config => {
            let config = config.as_ref().and_then(Option::as_ref);
            let (settings, found) = settings::resolve_partly(args, config);
            problems.extend(found);
            settings
        }
    };
    let Some(settings) = settings else {
        let failure = end(config::shown(problems, text), 0);
        output::note(
            "not checked until this is corrected: certificates, directories, CAs and revocation lists",
        );
        return Err(failure);
    };
    let mut held = Held::default();
    let mut remarks = Remarks::default();
    // Of what is a mistake already, something else need not be said.
    let known: Vec<_> = problems
        .iter()
        .map(|problem| problem.place.clone())
        .collect();
    let found = context::check(&settings, &mut held, &mut remarks);
    let is_new =
        |problem: &Problem| problem.place == Place::Unset || !known.contains(&problem.place);
    problems.extend(found.into_iter().filter(is_new));
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
    if has_mistakes {
        output::note("not checked until this is corrected: sites and tables with mistakes in them");
    }
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
