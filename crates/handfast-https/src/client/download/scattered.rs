//! A download whose bytes come in any order, from several responses.

use std::ops::Range;

use http::HeaderValue;

use super::Download;
use super::arrived::{Arrived, Saving};
use super::part::unusable;
use super::version::{Evidence, Version};
use crate::client::error::Error;
use crate::client::response::Response;
use crate::client::spans::Spans;

impl Download {
    /// The strong validator of the version that it is of, if its bytes may come in any order.
    pub(in crate::client) fn validator(&self) -> Option<HeaderValue> {
        let version = self.version.as_ref().filter(|one| !one.is_coded())?;
        version.if_range().filter(|_| self.part.is_some())
    }

    /// What lacks of a file of so many bytes, once [`begin`](Self::begin) has judged a response.
    pub(in crate::client) fn gaps(&self, total: u64) -> Vec<Range<u64>> {
        let there = || Spans::up_to(self.written);
        self.left.clone().unwrap_or_else(there).gaps(total)
    }

    /// From now on its bytes come in any order ([`write_at`](Self::write_at)).
    pub(in crate::client) fn scatter(&mut self, total: u64) -> Result<(), Error> {
        let path = self.path().to_owned();
        let failed = |error| unusable(&path, "write", error);
        let file = self.own_file().map_err(failed)?;
        let spans = self.left.take();
        let spans = spans.unwrap_or_else(|| Spans::up_to(self.written));
        let mut version = self.version.clone().unwrap_or_default();
        version.total = Some(total);
        self.total = Some(total);
        self.written = spans.count();
        self.arrived = Some(Arrived::begin(file, &path, version, spans)?);
        Ok(())
    }

    /// Is a response to another request of the same version?
    pub(in crate::client) fn is_same_version(&self, response: &Response) -> bool {
        let Some(version) = &self.version else {
            return false;
        };
        let now = Version::of(&version.url, response.status(), response.headers());
        !now.is_coded() && version.is_that_of(&now, Evidence::Compared)
    }

    pub(in crate::client) fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), Error> {
        let Some(arrived) = &mut self.arrived else {
            return Ok(());
        };
        if let Err(error) = arrived.write_all_at(at, bytes) {
            return Err(unusable(self.path(), "write", error));
        }
        arrived.spans.add(at..at.saturating_add(bytes.len() as u64));
        self.written = arrived.spans.count();
        Ok(())
    }

    /// Only the first `end` bytes are believed to be right.
    pub(in crate::client) fn keep_first(&mut self, end: u64) {
        if let Some(arrived) = &mut self.arrived {
            arrived.spans.cut(end);
            self.written = arrived.spans.count();
        }
    }

    /// How many bytes are there.
    pub(in crate::client) fn written(&self) -> u64 {
        self.written
    }

    /// The state as it is now.
    pub(in crate::client) fn saving(&mut self) -> Option<Saving> {
        self.arrived.as_mut()?.saving().ok()
    }

    /// What an earlier download left in several pieces: behind the first of them nothing is kept, and the bytes come in order.
    pub(super) fn go_on_in_order(&mut self) -> Result<(), Error> {
        if self.left.take().is_none() {
            return Ok(());
        }
        self.place(self.held)?;
        match &self.version {
            Some(version) => self.keep_state(version),
            None => Ok(()),
        }
    }
}
