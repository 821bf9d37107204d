//! What was asked for, and what is to be said of it.

use super::args::Args;
use super::certificates::Remarks;
use super::config::{self, Config, Text};
use super::settings::{self, Settings};
use crate::failure::Failure;
use crate::output;

/// What was asked for, by arguments and file.
pub(super) fn read(args: &Args) -> Result<(Settings, Option<Config>), Vec<Failure>> {
    let config = args.configuration.config.as_deref();
    let config = config.map(Config::read).transpose()?;
    match settings::resolve(args, config.as_ref()) {
        Ok(settings) => Ok((settings, config)),
        Err(problems) => {
            let text = config.as_ref().map(|config| &config.text);
            Err(config::shown(problems, text))
        }
    }
}

/// Warnings and notes about what was read.
pub(super) fn say(remarks: &Remarks, text: Option<&Text>) {
    for note in &remarks.notes {
        output::note(note);
    }
    for warning in remarks.shown(text) {
        output::warning(warning);
    }
}
