//! A download that goes on where an earlier one stopped, if the file on the server is still the same; if not, from the start.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderValue, StatusCode};

use super::part::{lock, open_part_of, unusable};
use super::version::{Evidence, KEPT_FROM_BYTES, Version, state_of, without_query};
use super::writer::Writer;
use super::{Begun, Download, Existing, check_writable};
use crate::client::completeness::Framing;
use crate::client::content_range::ContentRange;
use crate::client::error::{Error, Truncation};
use crate::client::request::Request;
use crate::client::response::Response;

impl Download {
    /// Goes on with what an earlier download of this name left: with `NAME.part`, if it is known what that belongs to; else with
    /// the file itself, which some other program may have left incomplete. The file keeps its name until the server
    /// has said that there is more of it.
    ///
    /// [`ask`](Self::ask) requests what is missing, and [`begin`](Self::begin) judges the response.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn resume(target: impl AsRef<Path>) -> Result<Self, Error> {
        let target = target.as_ref();
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let found = fs::metadata(&target).ok();
        if found.as_ref().is_some_and(|found| !found.is_file()) {
            return Self::create(target);
        }
        if found.is_some() {
            check_writable(&target)?;
        }
        let (file, part) = open_part_of(&target)?;
        let failed = |error| unusable(&part, "read", error);
        let held = file.metadata().map_err(failed)?.len();
        if held > 0 {
            let mut download = Self::with_part(file, target, part.clone());
            download.found = held;
            if let Some((version, arrived)) = Version::read(&state_of(&part)) {
                download.version = Some(version);
                download.held = held;
                if let Some(mut spans) = arrived {
                    spans.cut(held);
                    download.held = spans.prefix();
                    download.left = Some(spans);
                }
            }
            return Ok(download);
        }
        let Some(found) = found.filter(|found| found.len() > 0) else {
            return Ok(Self::with_part(file, target, part));
        };
        // Ours is empty: the file itself is continued.
        drop(file);
        let _ = fs::remove_file(&part);
        let opened = OpenOptions::new().write(true).open(&target);
        let file = opened.map_err(|error| unusable(&target, "write", error))?;
        lock(&file, &target)?;
        let mut download = Self::with_part(file, target, part);
        download.part = None;
        download.found = found.len();
        download.held = found.len();
        if let Ok(modified) = found.modified() {
            download.evidence = Evidence::Written(modified);
        }
        Ok(download)
    }

    /// The same, but the first `held` bytes alone are kept, whatever they belong to: the caller knows. If there are less, all of
    /// them are.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn resume_at(target: impl AsRef<Path>, held: u64) -> Result<Self, Error> {
        let mut download = Self::resume(target)?;
        // Where there are gaps, its caller cannot know them.
        let there = match download.left.take() {
            Some(spans) => spans.prefix(),
            None => download.found,
        };
        download.held = there.min(held);
        download.evidence = Evidence::Trusted;
        Ok(download)
    }

    /// How many bytes of the file are there.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// The request for what is missing, if the file is still the same (`Range`, `If-Range`; RFC 9110, sections 13.1.5 and 14.2).
    #[must_use]
    pub fn ask(&mut self, mut request: Request) -> Request {
        let url = without_query(request.url()).to_owned();
        if self
            .version
            .as_ref()
            .is_some_and(|version| version.url != url)
            && self.evidence != Evidence::Trusted
        {
            // The same validator of another file may mean something else.
            self.start_over();
        }
        self.url = Some(url);
        if self.held > 0
            && let Ok(range) = HeaderValue::try_from(format!("bytes={}-", self.held))
        {
            request.headers_mut().insert(RANGE, range);
            // The rest must be in the coding of what is there: in none, as what was decoded is not continued.
            let is_coded = self.version.as_ref().is_some_and(Version::is_coded);
            if !is_coded && request.headers().contains_key(ACCEPT_ENCODING) {
                let identity = HeaderValue::from_static("identity");
                request.headers_mut().insert(ACCEPT_ENCODING, identity);
            }
            if let Some(validator) = self.version.as_ref().and_then(Version::if_range) {
                request.headers_mut().insert(IF_RANGE, validator);
                if self.evidence == Evidence::None {
                    self.evidence = Evidence::Compared;
                }
            }
        }
        request
    }

    /// What is there is of no use: the next request is one for the whole.
    pub fn start_over(&mut self) {
        self.held = 0;
        self.left = None;
        self.version = None;
        self.evidence = Evidence::None;
    }

    /// The head of the response has come, and nothing is written yet. What the server says of the file is kept beside the part,
    /// so that it can be continued ([`resume`](Self::resume)).
    ///
    /// # Errors
    /// [`Error::Status`] if something is there, and the status says neither that the rest or the whole comes nor that there is no
    /// more; what is there stays. [`Error::File`].
    pub fn begin(&mut self, response: &Response) -> Result<Begun, Error> {
        let url = self.url.clone();
        let url = url.unwrap_or_else(|| first_url(response).to_owned());
        let now = Version::of(&url, response.status(), response.headers());
        if self.held == 0 {
            // What is there is given up for the whole, and for nothing less: not for the page of an error.
            return match self.found == 0 || response.status().is_success() {
                true => self.begin_whole(response, now),
                false => Err(refused(response)),
            };
        }
        let range = ContentRange::of(response.headers());
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let version = self.version.clone().unwrap_or_default();
                let begins_there = range
                    .and_then(|range| range.bytes)
                    .is_some_and(|(first, _)| first == self.held);
                match range.and_then(|range| range.total) {
                    Some(total) if begins_there && version.is_that_of(&now, self.evidence) => {
                        self.go_on(total, &version, now)?;
                        Ok(Begun::Continued)
                    }
                    _ => Ok(Begun::AskAgain),
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let known = self.version.as_ref().and_then(|version| version.total);
                let total = range.and_then(|range| range.total).or(known);
                // The fields are those of the whole file, if there are any.
                let is_other = self
                    .version
                    .as_ref()
                    .is_some_and(|version| version.contradicts(&now));
                match total == Some(self.held) && self.found == self.held && !is_other {
                    true => Ok(Begun::Complete),
                    false => Ok(Begun::AskAgain),
                }
            }
            status if status.is_success() => self.begin_whole(response, now),
            _ => Err(refused(response)),
        }
    }

    fn begin_whole(&mut self, response: &Response, now: Version) -> Result<Begun, Error> {
        let is_special = self.part.is_none() && self.found == 0;
        self.held = 0;
        self.left = None;
        self.written = 0;
        self.total = None;
        if !is_special {
            if self.part.is_none() {
                let (file, part) = open_part_of(&self.target)?;
                self.file = Writer::new(file);
                self.part = Some(part);
            }
            if self.found > 0 {
                self.empty()?;
            }
            // A part of a part cannot be continued, nor can what was decoded.
            let is_whole = response.status() == StatusCode::OK && !response.is_decoded();
            let is_long = now.total.is_none_or(|total| total >= KEPT_FROM_BYTES);
            if is_whole && is_long {
                self.keep_state(&now)?;
            }
            self.version = Some(now);
            if let Some(length) = response.framing().expected()
                && !response.is_decoded()
            {
                self.reserve(length)?;
            }
        }
        Ok(match self.found {
            0 => Begun::FromStart,
            _ => Begun::StartedOver,
        })
    }

    fn go_on(&mut self, total: u64, version: &Version, now: Version) -> Result<(), Error> {
        if self.part.is_none() {
            // The state is there before the part is.
            // Locked as long as it is there, so that no other download takes the name.
            let (placeholder, part) = open_part_of(&self.target)?;
            self.part = Some(part.clone());
            self.keep_state(&now)?;
            // Windows replaces no file that is open.
            let _placeholder = cfg!(not(windows)).then_some(placeholder);
            fs::rename(&self.target, &part).map_err(|error| unusable(&part, "rename", error))?;
            self.version = Some(now);
        } else if version.total.is_none() {
            let mut version = version.clone();
            version.total = Some(total);
            version.url = now.url;
            self.keep_state(&version)?;
            self.version = Some(version);
        }
        self.written = self.held;
        self.total = Some(total);
        match self.left {
            // It may be that all of it is kept.
            Some(_) => Ok(()),
            None => {
                self.place(self.held)?;
                self.reserve(total)
            }
        }
    }

    /// The next bytes are written there, and nothing is behind.
    pub(super) fn place(&mut self, end: u64) -> Result<(), Error> {
        let placed = self.file.go_on_at(end);
        placed.map_err(|error| unusable(self.path(), "write", error))
    }

    /// Makes room on the disk for the whole file. If there is none, nothing is left of a download of which nothing had come.
    fn reserve(&mut self, total: u64) -> Result<(), Error> {
        self.file.reserve(total).map_err(|error| {
            let part = self.path();
            if self.held == 0 {
                let _ = fs::remove_file(part);
                let _ = fs::remove_file(state_of(part));
            }
            unusable(part, "reserve disk space for", error)
        })
    }

    /// The file, for writing to any place in it.
    pub(super) fn own_file(&mut self) -> io::Result<fs::File> {
        self.file.hand_over()
    }

    /// Nothing more is kept of what came out of order.
    pub(super) fn end_arrived(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            arrived.end();
        }
    }

    /// Empties the part. The state goes afterwards: an empty part needs none, and another version's must not stay.
    pub(super) fn empty(&mut self) -> Result<(), Error> {
        let emptied = self.file.go_on_at(0);
        emptied.map_err(|error| unusable(self.path(), "write", error))?;
        match self
            .part
            .as_deref()
            .map(|part| fs::remove_file(state_of(part)))
        {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => {
                Err(unusable(self.path(), "write", error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn keep_state(&self, version: &Version) -> Result<(), Error> {
        let Some(part) = &self.part else {
            return Ok(());
        };
        let state = state_of(part);
        version
            .write(&state, self.left.as_ref())
            .map_err(|error| unusable(&state, "write", error))
    }

    /// Is the file complete, now that the response is? One that goes on may have had less than was missing.
    pub(super) fn check_total(&self) -> Result<(), Error> {
        match self.total {
            Some(total) if total != self.written => {
                let problem = "the server sent less than the rest that was requested";
                Err(Error::Truncated(Box::new(Truncation {
                    framing: Some(Framing::Length(total)),
                    expected: Some(total),
                    received: self.written,
                    ending: None,
                    problem: Some(problem.to_owned()),
                    failure: None,
                })))
            }
            _ => Ok(()),
        }
    }

    fn with_part(file: fs::File, target: PathBuf, part: PathBuf) -> Self {
        Self {
            part: Some(part),
            ..Self::new(file, target, Existing::Replaced)
        }
    }
}

fn refused(response: &Response) -> Error {
    Error::Status {
        status: response.status(),
        url: response.url().to_owned(),
    }
}

/// The URL that was requested, before redirects.
fn first_url(response: &Response) -> &str {
    let mut redirects = response.redirects();
    let first = redirects.next();
    without_query(first.unwrap_or_else(|| response.url()))
}
