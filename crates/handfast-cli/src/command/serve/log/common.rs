//! The common log: what is written to it, of everything that has no log of its own.
//!
//! It is one value, opened for one configuration: a reload puts another in its place.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;

use super::outputs::{Outputs, next_number};
use super::request::Format;
use super::spell::{self, Clock};
use super::writer::Output;
use super::{events, journal, values};
use crate::command::serve::config::{LogTarget, Place, Problem};
use crate::command::serve::settings::LogSettings;
use crate::failure::Failure;

/// The common log, as it is opened for one configuration.
#[derive(Default)]
pub(in crate::command::serve) struct Common {
    pub(super) to: LogTarget,
    pub(super) access: Option<Output>,
    /// For events that the format of the access log cannot express.
    aside: Option<Output>,
    pub(super) audit: Option<(PathBuf, Output)>,
    pub(super) format: Format,
    pub(super) verbose: bool,
    /// Distinguishes logs in what each thread keeps.
    pub(super) number: u64,
}

impl Common {
    /// Opens what these settings log to. It is not in use yet.
    ///
    /// # Errors
    /// What cannot be written.
    pub(super) fn open(outputs: &Outputs, settings: &LogSettings) -> Result<Self, Box<Problem>> {
        let at = |place: &Place| {
            let place = place.clone();
            move |failure: Failure| Box::new(Problem::of(&place, failure))
        };
        let format = Format::of(&settings.to.value, settings.format);
        let access = match &settings.to.value {
            LogTarget::Stderr if settings.is_quiet() => None,
            to => {
                let opened = outputs.access(to, format, true);
                opened.map_err(at(&settings.to.place))?
            }
        };
        let aside = match (&access, format) {
            (Some(_), Format::Combined) if !settings.is_quiet() => {
                let stderr = outputs.stderr(events::lines_lost);
                Some(stderr.map_err(at(&Place::Unset))?)
            }
            _ => None,
        };
        let audit = settings.audit.as_ref().map(|path| {
            let output = outputs.audit(&path.value).map_err(at(&path.place))?;
            Ok::<_, Box<Problem>>((path.value.clone(), output))
        });
        Ok(Self {
            to: settings.to.value.clone(),
            access,
            aside,
            audit: audit.transpose()?,
            format,
            verbose: settings.is_verbose(),
            number: next_number(),
        })
    }

    /// Whether stderr has lines that begin with their time: then what the program says there has one, too.
    pub(super) fn has_times_on_stderr(&self) -> bool {
        let is_there = self.to == LogTarget::Stderr && self.access.is_some();
        is_there && matches!(self.format, Format::Handfast | Format::Combined)
    }

    /// Writes an event that is no request to the access log, in its format.
    pub(super) fn event(
        &self,
        time: SystemTime,
        text: impl FnOnce() -> String,
        value: impl FnOnce() -> Value,
    ) {
        let output = match self.format {
            Format::Combined => &self.aside,
            _ => &self.access,
        };
        let Some(output) = output else { return };
        match self.format {
            Format::Json => {
                let line = values::line(&value());
                output.put(|out| out.extend_from_slice(line.as_bytes()));
            }
            Format::Journal => {
                let (text, value) = (text(), value());
                output.put(|out| journal::put(out, &text, &value));
            }
            Format::Handfast | Format::Combined => {
                let text = text();
                output.put(|out| {
                    spell::time(out, time, Clock::Seconds);
                    out.push(b' ');
                    out.extend_from_slice(text.as_bytes());
                    out.push(b'\n');
                });
            }
        }
    }

    pub(super) fn audit(&self, value: impl FnOnce() -> Value) {
        if let Some((_, audit)) = &self.audit {
            let line = values::line(&value());
            audit.put(|out| out.extend_from_slice(line.as_bytes()));
        }
    }
}
