//! `--etag-save` and `--etag-compare`: the entity tag of a response, kept in a file, and sent with the next request, which
//! is then answered without a body if nothing has changed.

use std::fs;
use std::io;
use std::path::PathBuf;

use handfast::escape_control;
use handfast_https::client::Response;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use super::data::unreadable;
use super::destination::unusable;
use crate::failure::Failure;

/// No server sends more as an entity tag.
const FILE_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(super) struct EtagArgs {
    /// Write the response's entity tag (ETag) to FILE
    #[arg(long, value_name = "FILE")]
    etag_save: Option<PathBuf>,
    /// Fetch only what has another entity tag than the one in FILE, which may be that of --etag-save
    #[arg(long, value_name = "FILE")]
    etag_compare: Option<PathBuf>,
}

impl EtagArgs {
    /// The tag of the file into the fields of each request. With an empty file everything is fetched.
    pub(super) fn put_into(&self, fields: &mut HeaderMap) -> Result<(), Failure> {
        let Some(path) = &self.etag_compare else {
            return Ok(());
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            // The first time: there is nothing to compare with.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.etag_save.is_some() => {
                Vec::new()
            }
            Err(error) => return Err(unreadable(&path.to_string_lossy(), &error)),
        };
        let tag: &[u8] = match text.trim_ascii() {
            b"" => b"\"\"",
            tag => tag,
        };
        let value = (tag.len() <= FILE_BYTES_MAX)
            .then(|| HeaderValue::from_bytes(tag).ok())
            .flatten();
        let value = value.ok_or_else(|| {
            Failure::usage(
                format!(
                    "{} has no entity tag in it",
                    escape_control(&path.to_string_lossy())
                ),
                "give the file that --etag-save has written",
            )
        })?;
        fields.append(IF_NONE_MATCH, value);
        Ok(())
    }

    /// Keeps the tag of a response, if it has one.
    pub(super) fn save(&self, response: &Response) -> Result<(), Failure> {
        let (Some(path), Some(tag)) = (&self.etag_save, response.headers().get(ETAG)) else {
            return Ok(());
        };
        let line = [tag.as_bytes(), b"\n"].concat();
        fs::write(path, line).map_err(|error| unusable(path, "write", &error))
    }
}
