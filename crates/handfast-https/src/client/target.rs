//! A request as it is written: in HTTP/1.1, or in HTTP/2.

use bytes::Bytes;
use handfast_dial::proxy::Proxy;
use handfast_http::h2;
use http::header::{CONNECTION, EXPECT, HOST, HeaderName, PROXY_AUTHORIZATION, TE};
use http::{HeaderMap, HeaderValue, Method, Version};

/// What a request asks for, to be written in one version or the other.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) host: HeaderValue,
    pub(super) path: String,
    /// Without those that say who is asked and where the body ends.
    pub(super) fields: HeaderMap,
    /// The length of the body, where it is told.
    pub(super) length: Option<u64>,
    /// Over HTTP/1.1 the body is sent in chunks.
    pub(super) is_chunked: bool,
    /// The body is made while it is sent.
    pub(super) is_upload: bool,
}

impl Target {
    /// Its header fields for callbacks.
    pub(super) fn shown(&self, version: Version) -> HeaderMap {
        let mut fields = self.fields.clone();
        if version < Version::HTTP_2 {
            fields.insert(HOST, self.host.clone());
        }
        fields
    }

    /// For HTTP/1.1 (RFC 9112, section 3).
    pub(super) fn to_http1(&self, method: &Method, body: &Bytes) -> Written {
        let mut head = Vec::with_capacity(HEAD_USUAL);
        for part in [method.as_str(), " ", &self.path, " HTTP/1.1\r\nhost: "] {
            head.extend_from_slice(part.as_bytes());
        }
        head.extend_from_slice(self.host.as_bytes());
        for (name, value) in &self.fields {
            head.extend_from_slice(b"\r\n");
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
        }
        // What is said of the connection to the next server (RFC 9110, section 10.1.4).
        if self.fields.contains_key(TE) && !has_option(&self.fields, "te") {
            head.extend_from_slice(b"\r\nconnection: TE");
        }
        let mut tail: &[u8] = b"";
        let mut size = Vec::new();
        if self.is_chunked {
            head.extend_from_slice(b"\r\ntransfer-encoding: chunked\r\n\r\n");
            if !self.is_upload {
                tail = b"0\r\n\r\n";
            }
            if !body.is_empty() {
                size = format!("{:x}\r\n", body.len()).into_bytes();
                tail = b"\r\n0\r\n\r\n";
            }
        } else {
            if let Some(length) = self.length {
                head.extend_from_slice(format!("\r\ncontent-length: {length}").as_bytes());
            }
            head.extend_from_slice(b"\r\n\r\n");
        }
        Written {
            head,
            size,
            body: body.clone(),
            tail,
        }
    }

    /// For HTTP/2 (RFC 9113, section 8.3.1).
    pub(super) fn to_http2<'r>(&'r self, method: &'r Method, body: &Bytes) -> h2::NewRequest<'r> {
        h2::NewRequest {
            method,
            authority: self.host.as_bytes(),
            path: self.path.as_bytes(),
            fields: &self.fields,
            length: self.length,
            end: body.is_empty() && !self.is_upload,
        }
    }

    /// For a proxy that fetches it: the whole URL is the target (RFC 9112, section 3.2.2).
    pub(super) fn go_by(&mut self, proxy: &Proxy, method: &Method, url: &str) {
        for (name, value) in proxy.fields() {
            let name = HeaderName::try_from(name.as_str());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value.as_str())) {
                self.fields.insert(name, value);
            }
        }
        let secret = proxy.authorization(method.as_str(), url);
        if let Some(Ok(mut value)) = secret.map(|text| HeaderValue::try_from(text.as_str())) {
            value.set_sensitive(true);
            self.fields.insert(PROXY_AUTHORIZATION, value);
        }
        url.clone_into(&mut self.path);
    }

    /// How an upload is framed over HTTP/1.1: in chunks?
    pub(super) fn is_chunked(&self) -> bool {
        self.is_chunked
    }

    /// Asks before the body is sent.
    pub(super) fn ask(&mut self) {
        if !asks(&self.fields) {
            let ask = HeaderValue::from_static(CONTINUE);
            self.fields.insert(EXPECT, ask);
        }
    }

    /// Takes out what belongs to a connection of HTTP/1.1.
    pub(super) fn for_http2(&mut self) {
        for name in CONNECTION_FIELDS {
            self.fields.remove(name);
        }
        if self.fields.get(TE).is_some_and(|value| value != "trailers") {
            self.fields.remove(TE);
        }
    }
}

/// The one expectation that there is (RFC 9110, section 10.1.1).
const CONTINUE: &str = "100-continue";

/// Does an `Expect` field ask for `100 Continue`?
pub(super) fn asks(fields: &HeaderMap) -> bool {
    let value = fields.get(EXPECT);
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(CONTINUE.as_bytes()))
}

/// Does a `Connection` field have this option?
fn has_option(fields: &HeaderMap, option: &str) -> bool {
    fields.get_all(CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|byte| *byte == b',');
        options.any(|it| it.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    })
}

/// Bytes of a usual head.
const HEAD_USUAL: usize = 256;

/// A request as HTTP/1.1 sends it.
#[derive(Debug, Default)]
pub(super) struct Written {
    head: Vec<u8>,
    /// Before a body in chunks: the size of its only one.
    size: Vec<u8>,
    body: Bytes,
    /// Behind a body in chunks.
    tail: &'static [u8],
}

impl Written {
    /// A piece of an upload.
    pub(super) fn piece(piece: Bytes, is_chunked: bool) -> Self {
        match is_chunked {
            false => Self {
                body: piece,
                ..Self::default()
            },
            true => Self {
                size: format!("{:x}\r\n", piece.len()).into_bytes(),
                body: piece,
                tail: b"\r\n",
                ..Self::default()
            },
        }
    }

    /// The end of an upload.
    pub(super) fn end(is_chunked: bool) -> Self {
        Self {
            tail: if is_chunked { b"0\r\n\r\n" } else { b"" },
            ..Self::default()
        }
    }

    /// Takes off what comes behind the head.
    pub(super) fn split_body(&mut self) -> Self {
        Self {
            head: Vec::new(),
            size: std::mem::take(&mut self.size),
            body: std::mem::take(&mut self.body),
            tail: std::mem::take(&mut self.tail),
        }
    }

    /// What is left when so many bytes were sent.
    pub(super) fn slices(&self, sent: usize) -> [&[u8]; 4] {
        let mut skipped = sent;
        [&self.head[..], &self.size[..], &self.body[..], self.tail].map(|part| {
            let skip = skipped.min(part.len());
            skipped -= skip;
            part.get(skip..).unwrap_or_default()
        })
    }
}

/// Fields about a connection, which HTTP/2 forbids (RFC 9113, section 8.2.2).
const CONNECTION_FIELDS: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];
