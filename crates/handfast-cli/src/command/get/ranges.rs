//! Parts of files: `-r`, and `-C`, which goes on with a download.

use handfast::Explanation;
use handfast_https::client::{Begun, Download, Request, Response, SEGMENTS_MAX, Segments};
use http::header::RANGE;
use http::{HeaderValue, Method, StatusCode};

use super::destination::Target;
use super::offset::Offset;
use super::outcome::explained;
use crate::failure::{Failure, code};
use crate::output;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct RangeArgs {
    /// Request only these bytes, such as 0-499, 500-, -500 (the last), or several with commas between them
    #[arg(short, long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<String>,
    /// Go on with a download at this byte; `-`: where it stopped, if the file on the server is still the same
    #[arg(
        short = 'C',
        long,
        value_name = "OFFSET",
        allow_hyphen_values = true,
        conflicts_with_all = ["range", "include", "head", "remote_header_name"]
    )]
    continue_at: Option<Offset>,
    /// Fetch a file of more than 2 MiB in up to N ranges at once, each over a connection of its own (at most 16; with -o or -O)
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u8).range(1..=SEGMENTS_MAX as i64),
        conflicts_with_all = ["range", "include", "head", "strict_close"]
    )]
    segments: Option<u8>,
}

impl RangeArgs {
    /// Where a download that is written to a file goes on, if it does.
    pub(super) fn offset(&self) -> Option<Offset> {
        self.continue_at.filter(|offset| *offset != Offset::At(0))
    }

    /// May -C be given, too?
    pub(super) fn may_continue(&self) -> bool {
        self.range.is_none()
    }

    /// In how many ranges files are fetched at once, if in several.
    pub(super) fn segments(&self) -> Option<Segments> {
        let count = self.segments.filter(|count| *count > 1)?;
        Some(Segments::new(count.into()))
    }

    /// Can what goes there come in several ranges?
    pub(super) fn check_target(&self, target: &Target) -> Result<(), Failure> {
        match target {
            Target::Stdout if self.segments.is_some() => Err(Failure::usage(
                "--segments writes the ranges of a file as they come, and stdout takes bytes in order only",
                "write to a file with -o FILE or -O, or leave out --segments",
            )),
            _ => Ok(()),
        }
    }

    /// Is the whole requested, or what is missing of it?
    pub(super) fn wants_whole(&self, method: &Method) -> bool {
        *method == Method::GET && self.range.is_none()
    }

    /// Requests a range, if one was given. A field that was given takes precedence.
    pub(super) fn put_into(&self, request: &mut Request) -> Result<(), Failure> {
        let Some(range) = &self.range else {
            return Ok(());
        };
        let mut range = range.clone();
        if !range.contains('-') {
            // As curl.
            range.push('-');
        }
        let is_usual = |byte: u8| byte.is_ascii_digit() || b"-, ".contains(&byte);
        if !range.bytes().all(is_usual) {
            return Err(Failure::usage(
                format!("`{}` is not a range", handfast::escape_control(&range)),
                "give the first and the last byte, such as -r 0-499",
            ));
        }
        let value = HeaderValue::try_from(format!("bytes={range}"));
        if let Ok(value) = value
            && !request.headers().contains_key(RANGE)
        {
            request.headers_mut().insert(RANGE, value);
        }
        Ok(())
    }
}

/// An attempt that goes on with what is there, or begins from the start.
#[derive(Debug, Default)]
pub(super) struct Continuation {
    /// What an earlier attempt left.
    download: Option<Download>,
    /// Nothing is there, and what follows so many bytes is requested.
    rest_after: Option<u64>,
    is_silent: bool,
}

impl Continuation {
    /// `offset`: where it goes on, if it does.
    pub(super) fn open(
        target: &Target,
        offset: Option<Offset>,
        is_silent: bool,
    ) -> Result<Self, Failure> {
        let download = match (target, offset) {
            (Target::File(place), Some(offset)) => place.resume(offset)?,
            _ => None,
        };
        let held = download.as_ref().map_or(0, Download::held);
        match offset {
            Some(Offset::At(at)) if held == 0 => Ok(Self {
                download: None,
                rest_after: Some(at),
                is_silent,
            }),
            Some(Offset::At(at)) if held < at => Err(Failure::usage(
                format!("{held} bytes of the file are there, and -C {at} would leave a gap"),
                "go on where it stopped: -C -",
            )),
            _ => Ok(Self {
                download,
                rest_after: None,
                is_silent,
            }),
        }
    }

    /// Is less than the whole requested?
    pub(super) fn is_asking(&self) -> bool {
        self.rest_after.is_some() || self.held() > 0
    }

    /// How many bytes of the file are there.
    pub(super) fn held(&self) -> u64 {
        self.download.as_ref().map_or(0, Download::held)
    }

    pub(super) fn ask(&mut self, mut request: Request) -> Request {
        if let Some(offset) = self.rest_after
            && let Ok(value) = HeaderValue::try_from(format!("bytes={offset}-"))
        {
            request.headers_mut().insert(RANGE, value);
        }
        match &mut self.download {
            Some(download) => download.ask(request),
            None => request,
        }
    }

    /// What the response is to it.
    pub(super) fn begin(&mut self, response: &Response) -> Result<Begun, Failure> {
        if let Some(offset) = self.rest_after {
            return is_rest(offset, response);
        }
        let held = self.held();
        let Some(download) = &mut self.download else {
            return Ok(Begun::FromStart);
        };
        let begun = download.begin(response).map_err(explained)?;
        let note = match begun {
            Begun::Continued => format!("continued after {held} bytes"),
            Begun::Complete => format!("all {held} bytes had arrived already"),
            Begun::StartedOver => {
                "started over: what had arrived is not known to belong to this version of the file"
                    .into()
            }
            Begun::AskAgain => {
                download.start_over();
                return Ok(begun);
            }
            _ => return Ok(begun),
        };
        if !self.is_silent {
            output::note(format!("note: {note}"));
        }
        Ok(begun)
    }

    /// The download that has begun.
    pub(super) fn into_download(self) -> Option<Download> {
        self.download
    }
}

/// Is the response what was requested of it: the rest after `offset` bytes?
fn is_rest(offset: u64, response: &Response) -> Result<Begun, Failure> {
    let range = response.content_range();
    let bytes = range.and_then(|range| range.bytes);
    let total = range.and_then(|range| range.total);
    match (response.status(), bytes) {
        (StatusCode::PARTIAL_CONTENT, Some((first, _))) if first == offset => Ok(Begun::Continued),
        // There is no more: the file ends there, if it is known where it does.
        (StatusCode::RANGE_NOT_SATISFIABLE, _) if total.is_none_or(|total| total == offset) => {
            Ok(Begun::Complete)
        }
        (status, _) => {
            let what = format!(
                "the rest after {offset} bytes was requested, and the server sent something else"
            );
            let explanation = Explanation::new("range-not-sent", what)
                .with_evidence(format!("its answer is {status}"))
                .with_fix("fetch the whole file: leave out -C");
            Err(Failure::new(code::RANGE, explanation))
        }
    }
}
