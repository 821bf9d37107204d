//! The body of the requests: data, a form, or files to upload; and what of it goes into URL and method.

use bytes::Bytes;
use handfast_https::client::Request;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

use super::data::{DataArgs, encoded};
use super::form::FormArgs;
use super::pieces::{Piece, upload};
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Body")]
pub(super) struct BodyArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Put the data of -d and similar options into the URL's query (GET)
    #[arg(short = 'G', long)]
    get: bool,
    /// Add this to the query of each URL, as --data-urlencode; +TEXT as it is (repeatable)
    #[arg(long, value_name = "DATA", allow_hyphen_values = true)]
    url_query: Vec<String>,
    #[command(flatten)]
    form: FormArgs,
    /// Upload FILE (PUT); `-` is stdin; the file's name is added to a URL that ends with `/`
    #[arg(short = 'T', long, value_name = "FILE")]
    upload_file: Vec<String>,
}

/// What is sent.
#[derive(Debug)]
pub(super) enum Body {
    None,
    /// With its content type.
    Data(Bytes, &'static str),
    /// In the URL's query.
    Query(String),
    /// With its content type. Its boundary, and so its length, is the same for each request.
    Form(Vec<Piece>, String),
    /// One for each URL.
    Files(Vec<String>),
}

impl BodyArgs {
    pub(super) fn is_json(&self) -> bool {
        self.data.is_json()
    }

    /// What is added to the query of each URL. Reads the files of `--url-query NAME@FILE`.
    pub(super) fn query(&self) -> Result<Option<String>, Failure> {
        let pieces = self
            .url_query
            .iter()
            .map(|text| match text.strip_prefix('+') {
                Some(text) => Ok(text.to_owned()),
                None => Ok(query(&encoded(text)?)),
            });
        let pieces = pieces.collect::<Result<Vec<_>, Failure>>()?;
        Ok((!pieces.is_empty()).then(|| pieces.join("&")))
    }

    /// Is -T given?
    pub(super) fn uploads_files(&self) -> bool {
        !self.upload_file.is_empty()
    }

    /// The body. Reads the files of `-d @FILE`.
    pub(super) fn body(&self) -> Result<Body, Failure> {
        let data = self.data.bytes()?;
        let kinds = [
            data.is_some(),
            self.form.is_given(),
            !self.upload_file.is_empty(),
        ];
        if kinds.into_iter().filter(|given| *given).count() > 1 {
            return Err(Failure::usage(
                "a request has one body, and more are given",
                "choose among data (-d, --json), a form (-F) and an upload (-T)",
            ));
        }
        Ok(match data {
            Some(data) if self.get => Body::Query(query(&data)),
            Some(data) if self.is_json() => Body::Data(data.into(), "application/json"),
            Some(data) => Body::Data(data.into(), "application/x-www-form-urlencoded"),
            None if self.form.is_given() => {
                let form = self.form.form()?;
                Body::Form(form.pieces, form.content_type)
            }
            None if !self.upload_file.is_empty() => Body::Files(self.upload_file.clone()),
            None => Body::None,
        })
    }
}

/// Data as a query. What no URL may have (RFC 3986, section 3.4) is percent-encoded when it is parsed; bytes that are no text are here.
fn query(data: &[u8]) -> String {
    let mut query = String::new();
    for chunk in data.utf8_chunks() {
        query.push_str(chunk.valid());
        query.extend(percent_encode(chunk.invalid(), NON_ALPHANUMERIC));
    }
    query
}

/// The URL with this behind its query.
pub(super) fn with_query(url: &str, data: &str) -> String {
    let (front, fragment) = match url.split_once('#') {
        Some((front, fragment)) => (front, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let sign = match front.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{front}{sign}{}{fragment}", data.replace('#', "%23"))
}

/// What stays as it is in a file's name within a URL.
const IN_PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Body {
    /// Is there one, apart from the URL?
    pub(super) fn is_sent(&self) -> bool {
        !matches!(self, Self::None | Self::Query(_))
    }

    pub(super) fn content_type(&self) -> Option<String> {
        match self {
            Self::Data(_, kind) => Some((*kind).to_owned()),
            Self::Form(_, kind) => Some(kind.clone()),
            Self::None | Self::Query(_) | Self::Files(_) => None,
        }
    }

    /// The file to upload to the URL with this number.
    fn file(&self, number: usize) -> Option<&str> {
        match self {
            Self::Files(files) => files
                .get(number)
                .map(String::as_str)
                .filter(|name| !name.is_empty()),
            _ => None,
        }
    }

    /// The method of the request with this number.
    pub(super) fn method(&self, number: usize) -> Method {
        match self {
            Self::Data(..) | Self::Form(..) => Method::POST,
            Self::Files(_) if self.file(number).is_some() => Method::PUT,
            Self::None | Self::Query(_) | Self::Files(_) => Method::GET,
        }
    }

    /// The URL with this number, with what goes into it.
    pub(super) fn url(&self, url: String, number: usize) -> String {
        if let Some(file) = self.file(number).filter(|name| *name != "-") {
            let (_, behind) = url.split_once("://").unwrap_or_default();
            let name = file.rsplit(['/', std::path::MAIN_SEPARATOR]).next();
            let name = utf8_percent_encode(name.unwrap_or_default(), &IN_PATH);
            return match behind.find(['/', '?', '#']) {
                _ if behind.contains(['?', '#']) => url,
                None => format!("{url}/{name}"),
                Some(_) if url.ends_with('/') => format!("{url}{name}"),
                Some(_) => url,
            };
        }
        match self {
            Self::Query(data) => with_query(&url, data),
            _ => url,
        }
    }

    /// The request with this number, with its body.
    pub(super) fn put_into(&self, request: Request, number: usize) -> Result<Request, Failure> {
        Ok(match self {
            Self::None | Self::Query(_) => request,
            Self::Data(data, _) => request.with_body(data.clone()),
            Self::Form(pieces, _) => request.with_upload(upload(pieces.clone())),
            Self::Files(_) => match self.file(number) {
                Some(name) => request.with_upload(upload(vec![Piece::file(name)?])),
                None => request,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_into_the_query() {
        assert_eq!(query(b"a=\xe9\xff&b=\xc3\xa9"), "a=%E9%FF&b=\u{e9}");
        let body = Body::Query("a=b#c".into());
        for (url, expected) in [
            ("https://h", "https://h?a=b%23c"),
            ("https://h/?", "https://h/?a=b%23c"),
            ("https://h/?q#f", "https://h/?q&a=b%23c#f"),
        ] {
            assert_eq!(body.url(url.into(), 0), expected);
        }
    }

    #[test]
    fn a_files_name_goes_behind_a_path_that_has_none() {
        let body = Body::Files(vec!["dir/a b.txt".into()]);
        for (url, expected) in [
            ("https://h", "https://h/a%20b.txt"),
            ("https://h/", "https://h/a%20b.txt"),
            ("https://h/dir/", "https://h/dir/a%20b.txt"),
            ("https://h/name", "https://h/name"),
            ("https://h/?q", "https://h/?q"),
        ] {
            assert_eq!(body.url(url.into(), 0), expected);
        }
        assert_eq!(body.url("https://h/".into(), 1), "https://h/");
        assert_eq!((body.method(0), body.method(1)), (Method::PUT, Method::GET));
    }
}
