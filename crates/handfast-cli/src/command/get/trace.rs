//! `--trace`, `--trace-ascii`: everything that an exchange sends and receives beneath TLS, in curl's form. Values of secret
//! fields are hidden, as by `-v`; bodies are not.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use handfast_https::client::Event;
use http::{HeaderMap, Version};

use super::watch::{self, Lines};

/// Where a trace is written, and how.
pub(super) struct Trace {
    out: Mutex<Box<dyn Write + Send>>,
    /// Bytes in hexadecimal, too.
    has_hex: bool,
    has_time: bool,
}

/// Bytes on a line of hexadecimal numbers, and without them; as many as curl shows.
const HEX_WIDTH: usize = 16;
const TEXT_WIDTH: usize = 64;

impl Trace {
    /// `-` is stdout, `%` is stderr, as in curl.
    pub(super) fn open(name: &str, has_hex: bool, has_time: bool) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match name {
            "-" => Box::new(io::stdout()),
            "%" => Box::new(io::stderr()),
            name => Box::new(File::create(name)?),
        };
        Ok(Self {
            out: Mutex::new(out),
            has_hex,
            has_time,
        })
    }

    pub(super) fn event(&self, event: &Event<'_>) {
        match event {
            Event::Requesting {
                method,
                url,
                version,
                headers,
                ..
            } => {
                let target = url::Url::parse(url).map_or_else(
                    |_| (*url).to_owned(),
                    |url| url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
                );
                let line = format!("{method} {target} {}\r\n", version_name(*version));
                self.put(
                    "=> Send header",
                    (line + &fields(headers) + "\r\n").as_bytes(),
                );
            }
            Event::Uploading { piece } => self.put("=> Send data", piece),
            Event::Responding {
                version,
                status,
                headers,
                ..
            } => {
                let line = watch::status_line(*version, *status) + "\r\n";
                // Each line on its own, as curl has it.
                for line in (line + &fields(headers) + "\r\n").split_inclusive('\n') {
                    self.put("<= Recv header", line.as_bytes());
                }
            }
            other => watch::lines(
                other,
                &mut Lines(&mut |mark, _, text| {
                    if mark == '*' {
                        self.write(&format!("== Info: {text}\n"));
                    }
                }),
            ),
        }
    }

    pub(super) fn sent(&self, body: &[u8]) {
        self.put("=> Send data", body);
    }

    pub(super) fn received(&self, piece: &[u8]) {
        self.put("<= Recv data", piece);
    }

    fn put(&self, what: &str, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let count = bytes.len();
        let mut text = format!("{what}, {count} bytes (0x{count:x})\n");
        match self.has_hex {
            true => hex(bytes, &mut text),
            false => plain(bytes, &mut text),
        }
        self.write(&text);
    }

    /// Errors are ignored: a trace that cannot be written is no reason to fail.
    fn write(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_time {
            let now = jiff::Timestamp::now().strftime("%H:%M:%S%.6f ").to_string();
            let _ = out.write_all(now.as_bytes());
        }
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn version_name(version: Version) -> &'static str {
    if version == Version::HTTP_2 {
        "HTTP/2"
    } else {
        "HTTP/1.1"
    }
}

fn fields(headers: &HeaderMap) -> String {
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\r\n", watch::shown_value(name, value)));
    lines.collect()
}

fn hex(bytes: &[u8], text: &mut String) {
    for (number, line) in bytes.chunks(HEX_WIDTH).enumerate() {
        let _ = write!(text, "{:04x}: ", number * HEX_WIDTH);
        for place in 0..HEX_WIDTH {
            match line.get(place) {
                Some(byte) => {
                    let _ = write!(text, "{byte:02x} ");
                }
                None => text.push_str("   "),
            }
        }
        text.extend(line.iter().map(|byte| visible(*byte)));
        text.push('\n');
    }
}

/// Lines of at most the width, which end where the bytes have a line end.
fn plain(bytes: &[u8], text: &mut String) {
    let mut at = 0;
    while at < bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        let line = rest.get(..TEXT_WIDTH).unwrap_or(rest);
        let (shown, step) = match line.windows(2).position(|pair| pair == b"\r\n") {
            Some(end) => (end, end + 2),
            // The line end may be just behind the width.
            None if rest
                .get(line.len()..)
                .is_some_and(|it| it.starts_with(b"\r\n")) =>
            {
                (line.len(), line.len() + 2)
            }
            None => (line.len(), line.len()),
        };
        let _ = write!(text, "{at:04x}: ");
        text.extend(line.iter().take(shown).map(|byte| visible(*byte)));
        text.push('\n');
        at += step;
    }
}

fn visible(byte: u8) -> char {
    match byte {
        b' '..=b'~' => char::from(byte),
        _ => '.',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_curl_shows_them() {
        let mut text = String::new();
        plain(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", &mut text);
        assert_eq!(text, "0000: GET / HTTP/1.1\n0010: Host: h\n0019: \n");
        text.clear();
        plain(&[b'a'; 70], &mut text);
        assert_eq!(
            text,
            format!("0000: {}\n0040: {}\n", "a".repeat(64), "a".repeat(6))
        );
        text.clear();
        hex(b"\x1b[2Jclear and more", &mut text);
        assert_eq!(
            text,
            "0000: 1b 5b 32 4a 63 6c 65 61 72 20 61 6e 64 20 6d 6f .[2Jclear and mo\n\
             0010: 72 65                                           re\n"
        );
    }
}
