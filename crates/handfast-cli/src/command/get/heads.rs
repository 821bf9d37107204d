//! `-D`, `-i` and `-I`: the heads of responses, in the order in which they came, those of redirects included.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use handfast_https::client::{Event, Request};
use http::{HeaderMap, StatusCode, Version};

use super::destination::unusable;
use super::watch;
use crate::failure::Failure;

/// The heads of the responses to one request, up to now.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads(Arc<Mutex<Vec<Head>>>);

#[derive(Debug)]
pub(super) struct Head {
    version: Version,
    status: StatusCode,
    headers: HeaderMap,
}

impl Heads {
    /// Notes the heads of the responses to this request. How many there may be is limited by the number of redirects.
    pub(super) fn note(&self, request: Request) -> Request {
        let heads = self.clone();
        request.with_observer(move |event: &Event<'_>| {
            if let Event::Responding {
                version,
                status,
                headers,
                ..
            } = event
            {
                let mut noted = heads.0.lock().unwrap_or_else(PoisonError::into_inner);
                noted.push(Head {
                    version: *version,
                    status: *status,
                    headers: (*headers).clone(),
                });
            }
        })
    }

    /// Those that came since the last call.
    pub(super) fn take(&self) -> Vec<Head> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut noted)
    }
}

impl Head {
    pub(super) fn text(&self, for_terminal: bool) -> Vec<u8> {
        watch::head_text(self.version, self.status, &self.headers, for_terminal)
    }
}

/// The file of `-D`, or stdout.
#[derive(Debug)]
pub(super) struct HeadFile {
    /// `None`: stdout.
    file: Option<File>,
    path: PathBuf,
}

/// The files of -D of the sections up to now.
#[derive(Debug, Default)]
pub(super) struct HeadFiles(Vec<PathBuf>);

impl HeadFiles {
    /// Opens the file. It is emptied unless a former section has written to it.
    pub(super) fn open(&mut self, path: &Path) -> Result<HeadFile, Failure> {
        let is_known = self.0.iter().any(|known| known == path);
        if !is_known {
            self.0.push(path.to_owned());
        }
        HeadFile::open(path, is_known)
    }
}

impl HeadFile {
    fn open(path: &Path, appends: bool) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self {
                file: None,
                path: "stdout".into(),
            });
        }
        let mut options = OpenOptions::new();
        match appends {
            true => options.append(true),
            false => options.write(true).create(true).truncate(true),
        };
        match options.open(path) {
            Ok(file) => Ok(Self {
                file: Some(file),
                path: path.to_owned(),
            }),
            Err(error) => Err(unusable(path, "create", &error)),
        }
    }

    /// Are they written to stdout, between what else goes there?
    pub(super) fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// The same by this way, which leads to stdout.
    pub(super) fn write_through(&self, heads: &[Head], out: &mut dyn Write) -> Result<(), Failure> {
        let is_terminal = io::stdout().is_terminal();
        for head in heads {
            let written = out.write_all(&head.text(is_terminal));
            written.map_err(|error| unusable(&self.path, "write", &error))?;
        }
        Ok(())
    }

    pub(super) fn write(&self, heads: &[Head]) -> Result<(), Failure> {
        for head in heads {
            let written = match &self.file {
                Some(file) => {
                    let mut file = file;
                    file.write_all(&head.text(false))
                }
                None => {
                    let text = head.text(io::stdout().is_terminal());
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(&text).and_then(|()| stdout.flush())
                }
            };
            written.map_err(|error| unusable(&self.path, "write", &error))?;
        }
        Ok(())
    }
}
