//! A reply: read from a connection, and brought into a form in which two can be compared.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use handfast::{ClientContext, ClosePolicy};

use super::super::serving::PATIENCE;

/// What came over a connection in reply to one request.
pub(super) struct Reply {
    /// `None`: nothing came, or no head.
    pub(super) status: Option<u16>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    /// How many final responses came.
    count: usize,
}

/// Something that can be compared, by its name.
pub(super) type Aspect = (&'static str, String);

impl Reply {
    /// Sends these bytes to a server, and reads until it closes.
    pub(super) fn of(client: &ClientContext, address: SocketAddr, text: &[u8]) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let mut stream = client.secure("localhost", socket).unwrap();
        // Who has seen enough closes before everything is sent.
        let _ = stream.write_all(text).and_then(|()| stream.flush());
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            received.extend_from_slice(&buffer[..count]);
        }
        stream.close(ClosePolicy::Send);
        let mut rest = &received[..];
        let mut first: Option<Self> = None;
        while let Some((one, after)) = Self::parse(rest, text.starts_with(b"HEAD ")) {
            rest = after;
            match &mut first {
                _ if one.status.is_some_and(|status| status < 200) => {}
                None => first = Some(one),
                Some(first) => first.count += 1,
            }
        }
        first.unwrap_or(Self {
            status: None,
            fields: Vec::new(),
            body: received,
            count: 0,
        })
    }

    /// One response, and what comes after it.
    fn parse(bytes: &[u8], is_head: bool) -> Option<(Self, &[u8])> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let line = lines.next()?.strip_prefix("HTTP/1.")?;
        let status: u16 = line.split(' ').nth(1)?.parse().ok()?;
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let mut reply = Self {
            status: Some(status),
            fields: fields.collect(),
            body: Vec::new(),
            count: 1,
        };
        let mut rest = &bytes[end + 4..];
        let has_none = is_head || status < 200 || status == 204 || status == 304;
        if reply.field("transfer-encoding").is_some() && !has_none {
            while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
                let size = String::from_utf8_lossy(&rest[..end]);
                let size = usize::from_str_radix(&size, 16).ok()?;
                let chunk = rest.get(end + 2..end + 2 + size)?;
                rest = rest.get(end + 2 + size + 2..)?;
                if size == 0 {
                    break;
                }
                reply.body.extend_from_slice(chunk);
            }
        } else if !has_none {
            let length = reply.field("content-length")?.parse().ok()?;
            reply.body = rest.get(..length)?.to_vec();
            rest = &rest[length..];
        }
        Some((reply, rest))
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let (_, value) = fields.find(|(field, _)| field == name)?;
        Some(value)
    }

    /// The status alone.
    pub(super) fn outcome(&self) -> String {
        match self.status {
            Some(status) => status.to_string(),
            None if self.body.is_empty() => "closed without a reply".to_owned(),
            None => "the file without a head".to_owned(),
        }
    }

    /// Everything that is compared. Pages of the server's own are not: they look as each server has them.
    pub(super) fn aspects(&self) -> Vec<Aspect> {
        let Some(status) = self.status else {
            return Vec::new();
        };
        let text = |name: &str| self.field(name).unwrap_or("none").to_owned();
        let mut aspects = Vec::new();
        if self.count > 1 {
            aspects.push(("replies", self.count.to_string()));
        }
        match status {
            300..=303 | 305..=399 => aspects.push(("Location", text("location"))),
            405 | 204 => aspects.push(("Allow", text("allow"))),
            416 => aspects.push(("Content-Range", text("content-range"))),
            200 | 206 | 304 => {
                aspects.extend([
                    ("ETag", self.tag()),
                    ("Last-Modified", text("last-modified")),
                    ("Cache-Control", text("cache-control")),
                    ("Vary", text("vary").to_ascii_lowercase()),
                ]);
            }
            _ => {}
        }
        if !matches!(status, 200 | 206) {
            return aspects;
        }
        let boundary = text("content-type");
        let boundary = boundary
            .split_once("boundary=")
            .map(|(_, after)| after.to_owned());
        let neutral = |text: &str| match &boundary {
            Some(boundary) => text.replace(boundary.trim_matches('"'), "BOUNDARY"),
            None => text.to_owned(),
        };
        aspects.extend([
            ("Content-Type", neutral(&text("content-type"))),
            ("Content-Encoding", text("content-encoding")),
            ("Content-Range", text("content-range")),
        ]);
        if status == 200 {
            aspects.push(("Accept-Ranges", text("accept-ranges")));
        }
        let body = String::from_utf8_lossy(&self.body);
        let is_listing = body.contains("<a href=\"") && !body.contains("the index");
        let is_compressed = self.field("content-encoding").is_some() && self.tag() == "weak";
        let is_made = is_listing || is_compressed || self.field("transfer-encoding").is_some();
        if is_made {
            aspects.push((
                "body",
                if is_listing {
                    "a listing"
                } else {
                    "made for the reply"
                }
                .to_owned(),
            ));
        } else {
            aspects.push(("Content-Length", text("content-length")));
            aspects.push(("body", digest(&neutral(&body))));
        }
        aspects
    }

    fn tag(&self) -> String {
        match self.field("etag") {
            None => "none",
            Some(tag) if tag.starts_with("W/") => "weak",
            Some(_) => "strong",
        }
        .to_owned()
    }
}

fn digest(text: &str) -> String {
    if text.len() <= 40 {
        return format!("{text:?}");
    }
    // FNV-1a: it is only to be seen that two differ.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{} bytes, {:08x}", text.len(), hash & 0xffff_ffff)
}
