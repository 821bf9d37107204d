//! `-w`: a line about each transfer, in curl's language and with curl's names.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handfast::escape_control;
use http::header::{CONTENT_TYPE, LOCATION, REFERER};
use http::{HeaderMap, Version};
use serde_json::{Value as Json, json};

use super::transfer::{Step, Transfer};
use crate::failure::{Failure, code};
use crate::output;

/// What `-w` says, as it was typed or read.
#[derive(Debug, Clone)]
pub(super) struct Format(String);

/// Where the text goes from a certain place on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Stdout,
    Stderr,
    File { path: PathBuf, appends: bool },
}

/// What a variable has.
enum Value {
    Text(Option<String>),
    Number(u64),
    /// A status: three digits.
    Status(u16),
    Time(Duration),
}

impl Format {
    /// The format; `@FILE` is read, `@-` from stdin.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let Some(name) = text.strip_prefix('@') else {
            return Ok(Self(text.to_owned()));
        };
        let mut bytes = Vec::new();
        let read = match name {
            "-" => io::stdin().read_to_end(&mut bytes).map(|_| bytes),
            name => fs::read(name),
        };
        match read {
            Ok(bytes) => Ok(Self(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) => {
                let what = format!("cannot read the format of -w from {name}");
                let explanation = handfast::Explanation::new("file-unusable", what)
                    .with_evidence(crate::failure::plain(&error))
                    .with_fix("check the path");
                Err(Failure::new(code::READ, explanation))
            }
        }
    }

    /// Writes what it says about a transfer. Errors are ignored, as by curl: the transfer itself is done.
    pub(super) fn write(&self, transfer: &Transfer) {
        for (place, bytes) in self.render(transfer, io::stdout().is_terminal()) {
            let _ = match place {
                Place::Stdout => {
                    let mut out = io::stdout().lock();
                    out.write_all(&bytes).and_then(|()| out.flush())
                }
                Place::Stderr => io::stderr().lock().write_all(&bytes),
                Place::File { path, appends } => File::options()
                    .create(true)
                    .write(true)
                    .append(appends)
                    .truncate(!appends)
                    .open(path)
                    .and_then(|mut file| file.write_all(&bytes)),
            };
        }
    }

    fn render(&self, transfer: &Transfer, for_terminal: bool) -> Vec<(Place, Vec<u8>)> {
        let mut parts = vec![(Place::Stdout, String::new())];
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find(['%', '\\']) {
            let (before, from) = rest.split_at(at);
            put(&mut parts, before);
            let (word, behind) = one(from);
            rest = behind;
            match word {
                Word::Plain(text) => put(&mut parts, text),
                Word::Field(name) => {
                    let found = transfer.response().and_then(|head| head.fields.get(name));
                    let text = found.map(|value| String::from_utf8_lossy(value.as_bytes()));
                    put(
                        &mut parts,
                        &shown(text.as_deref().unwrap_or_default(), for_terminal),
                    );
                }
                Word::Place(place) => parts.push((place, String::new())),
                Word::Variable("onerror") if transfer.failure.is_none() => rest = "",
                Word::Variable("onerror") => {}
                Word::Variable("json") => put(&mut parts, &all(transfer)),
                Word::Variable("header_json") => put(&mut parts, &fields(transfer)),
                Word::Variable(name) => match value(name, transfer) {
                    Some(value) => put(&mut parts, &text(&value, for_terminal)),
                    None => {
                        output::warning(format!("-w has no variable `{}`", escape_control(name)))
                    }
                },
            }
        }
        put(&mut parts, rest);
        let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
        parts
            .map(|(place, text)| (place, text.into_bytes()))
            .collect()
    }
}

fn put(parts: &mut [(Place, String)], text: &str) {
    if let Some((_, last)) = parts.last_mut() {
        last.push_str(text);
    }
}

/// A piece of the format.
enum Word<'f> {
    Plain(&'f str),
    Variable(&'f str),
    Field(&'f str),
    Place(Place),
}

/// The word that begins with `%` or a backslash, and what is behind it.
fn one(from: &str) -> (Word<'_>, &str) {
    for (escape, text) in [("\\n", "\n"), ("\\r", "\r"), ("\\t", "\t"), ("%%", "%")] {
        if let Some(behind) = from.strip_prefix(escape) {
            return (Word::Plain(text), behind);
        }
    }
    let until_brace = |start: &str| from.strip_prefix(start)?.split_once('}');
    if let Some((name, behind)) = until_brace("%header{") {
        return (Word::Field(name), behind);
    }
    if let Some((name, behind)) = until_brace("%output{") {
        let (name, appends) = match name.strip_prefix(">>") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let path = name.into();
        return (Word::Place(Place::File { path, appends }), behind);
    }
    if let Some((name, behind)) = until_brace("%{") {
        let word = match name {
            "stdout" => Word::Place(Place::Stdout),
            "stderr" => Word::Place(Place::Stderr),
            name => Word::Variable(name),
        };
        return (word, behind);
    }
    // A sign alone stands for itself; `%{` without an end, too.
    let length = if from.starts_with("%{") { 2 } else { 1 };
    (
        Word::Plain(from.get(..length).unwrap_or(from)),
        from.get(length..).unwrap_or_default(),
    )
}

/// The variables that `%{json}` has, in its order.
const VARIABLES: [&str; 43] = [
    "certs",
    "conn_id",
    "content_type",
    "errormsg",
    "exitcode",
    "filename_effective",
    "ftp_entry_path",
    "http_code",
    "http_connect",
    "http_version",
    "local_ip",
    "local_port",
    "method",
    "num_certs",
    "num_connects",
    "num_headers",
    "num_redirects",
    "proxy_ssl_verify_result",
    "redirect_url",
    "referer",
    "remote_ip",
    "remote_port",
    "response_code",
    "scheme",
    "size_download",
    "size_header",
    "size_request",
    "size_upload",
    "speed_download",
    "speed_upload",
    "ssl_verify_result",
    "time_appconnect",
    "time_connect",
    "time_namelookup",
    "time_pretransfer",
    "time_redirect",
    "time_starttransfer",
    "time_total",
    "url",
    "url_effective",
    "urlnum",
    "xfer_id",
    "handfast_verdict",
];

fn value(name: &str, transfer: &Transfer) -> Option<Value> {
    let response = transfer.response();
    let last = transfer.last();
    let steps = &transfer.steps;
    let connection = transfer.connection.as_ref();
    // As curl: added up over redirects, each counted from its own beginning.
    let time = |of: fn(&Step) -> Option<Duration>| {
        Value::Time(steps.iter().map(|step| step.until(of(step))).sum())
    };
    let field = |name| {
        let value = response?.fields.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let count = |number: usize| Value::Number(number as u64);
    let uploaded = last.map_or(0, |step| step.body_sent);
    Some(match name {
        "certs" => Value::Text(Some(certificates(transfer))),
        "conn_id" => Value::Number(connection.map_or(0, |facts| facts.number.saturating_sub(1))),
        "content_type" => Value::Text(field(CONTENT_TYPE)),
        "errormsg" => Value::Text(transfer.failure.as_ref().map(|(.., what)| what.clone())),
        "exitcode" => Value::Number(transfer.exit_code().into()),
        "filename_effective" => Value::Text(
            transfer
                .file
                .as_ref()
                .map(|path| path.display().to_string()),
        ),
        "ftp_entry_path" => Value::Text(None),
        "handfast_verdict" => Value::Text(Some(transfer.end.verdict.name().to_owned())),
        "http_code" | "response_code" => {
            Value::Status(response.map_or(0, |head| head.status.as_u16()))
        }
        "http_connect" => {
            let is_proxied = steps.iter().any(|step| step.proxied.is_some());
            Value::Status(if is_proxied { 200 } else { 0 })
        }
        "http_version" => Value::Text(Some(
            match response.map(|head| head.version) {
                Some(Version::HTTP_2) => "2",
                Some(Version::HTTP_10) => "1.0",
                Some(_) => "1.1",
                None => "0",
            }
            .to_owned(),
        )),
        "local_ip" => Value::Text(Some(
            connection
                .and_then(|facts| facts.local_address)
                .map_or_else(String::new, |address| address.ip().to_string()),
        )),
        "local_port" => Value::Number(
            connection
                .and_then(|facts| facts.local_address)
                .map_or(0, |address| address.port().into()),
        ),
        "method" => Value::Text(Some(
            last.map_or(&transfer.method, |step| &step.method)
                .to_string(),
        )),
        "num_certs" => count(
            connection
                .and_then(|facts| facts.report.as_ref())
                .map_or(0, |report| report.peer_chain.len()),
        ),
        "num_connects" => Value::Number(steps.iter().map(|step| step.connections).sum()),
        "num_headers" => count(response.map_or(0, |head| head.fields.len())),
        "num_redirects" => count(steps.len().saturating_sub(1)),
        "proxy_ssl_verify_result" => Value::Number(proxy_verification(transfer)),
        "redirect_url" => Value::Text(redirect(transfer)),
        "referer" => Value::Text(last.and_then(|step| {
            let value = step.fields.get(REFERER)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        })),
        "remote_ip" => {
            Value::Text(Some(connection.map_or_else(String::new, |facts| {
                match &facts.unix_socket {
                    None => facts.peer_address.ip().to_string(),
                    // As curl.
                    Some(path) => path.display().to_string(),
                }
            })))
        }
        "remote_port" => Value::Number(connection.map_or(0, |facts| {
            match facts.unix_socket.is_some() {
                false => facts.peer_address.port().into(),
                // As curl: that of the URL.
                true => last.and_then(port_of_url).unwrap_or(0).into(),
            }
        })),
        "scheme" => Value::Text(response.map(|_| "HTTPS".to_owned())),
        "size_download" => Value::Number(transfer.received),
        "size_header" => Value::Number(
            steps
                .iter()
                .filter_map(|step| step.response.as_ref())
                .map(|head| head.bytes)
                .sum(),
        ),
        "size_request" => {
            let bytes = steps.iter().map(|step| step.head_sent + step.body_sent);
            Value::Number(bytes.sum())
        }
        "size_upload" => Value::Number(uploaded),
        "speed_download" => Value::Number(speed(transfer.received, transfer.took)),
        "speed_upload" => Value::Number(speed(uploaded, transfer.took)),
        "ssl_verify_result" => Value::Number(verification(transfer)),
        "time_appconnect" => time(|step| step.secured),
        "time_connect" => time(|step| step.connected),
        "time_namelookup" => time(|step| step.resolved),
        "time_pretransfer" => time(|step| step.requested),
        "time_redirect" => Value::Time(match steps.len() {
            0 | 1 => Duration::ZERO,
            _ => last.map_or(Duration::ZERO, |step| step.began),
        }),
        "time_starttransfer" => time(|step| step.responded),
        "time_total" => Value::Time(transfer.took),
        "url" => Value::Text(Some(transfer.url.clone())),
        "url_effective" => Value::Text(Some(last.map_or(&transfer.url, |step| &step.url).clone())),
        "urlnum" | "xfer_id" => count(transfer.number),
        _ => return None,
    })
}

fn text(value: &Value, for_terminal: bool) -> String {
    match value {
        Value::Text(text) => shown(text.as_deref().unwrap_or_default(), for_terminal),
        Value::Number(number) => number.to_string(),
        Value::Status(status) => format!("{status:03}"),
        Value::Time(time) => format!("{:.6}", time.as_secs_f64()),
    }
}

/// A stranger's text, for a terminal without control characters.
fn shown(text: &str, for_terminal: bool) -> String {
    match for_terminal {
        true => escape_control(text).into_owned(),
        false => text.to_owned(),
    }
}

/// All variables as an object of JSON.
fn all(transfer: &Transfer) -> String {
    let mut text = String::from("{");
    for name in VARIABLES {
        let value = match value(name, transfer) {
            Some(Value::Text(text)) => json!(text).to_string(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Status(status)) => status.to_string(),
            Some(Value::Time(time)) => format!("{:.6}", time.as_secs_f64()),
            None => continue,
        };
        let _ = write!(text, "\"{name}\":{value},");
    }
    let _ = write!(
        text,
        "\"handfast_version\":{}}}",
        json!(env!("CARGO_PKG_VERSION"))
    );
    text
}

/// The fields of the last response, each name once with all of its values.
fn fields(transfer: &Transfer) -> String {
    let none = HeaderMap::new();
    let fields = transfer.response().map_or(&none, |head| &head.fields);
    let lines = fields.keys().map(|name| {
        let values = fields.get_all(name).iter();
        let values: Vec<_> = values
            .map(|value| Json::from(String::from_utf8_lossy(value.as_bytes())))
            .collect();
        format!("{}:{}", json!(name.as_str()), Json::from(values))
    });
    format!("{{{}\n}}", lines.collect::<Vec<_>>().join(",\n"))
}

/// Where the last response redirects to.
fn redirect(transfer: &Transfer) -> Option<String> {
    let head = transfer.response()?;
    if !head.status.is_redirection() {
        return None;
    }
    let location = String::from_utf8_lossy(head.fields.get(LOCATION)?.as_bytes());
    let from = url::Url::parse(&transfer.last()?.url).ok()?;
    Some(from.join(&location).ok()?.into())
}

fn speed(bytes: u64, took: Duration) -> u64 {
    match took.as_micros() {
        0 => 0,
        micros => u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX),
    }
}

/// The server's certificates as PEM, as it sent them.
fn certificates(transfer: &Transfer) -> String {
    let mut text = String::new();
    let facts = transfer.connection.as_ref();
    let Some(report) = facts.and_then(|facts| facts.report.as_ref()) else {
        return text;
    };
    for certificate in &report.peer_chain {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        // RFC 7468, section 2: lines of 64 characters.
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// What curl shows of the server's certificate: 0 if nothing is wrong with it, also where it was accepted nevertheless (-k).
fn verification(transfer: &Transfer) -> u64 {
    let made = transfer.last().and_then(|step| step.report.as_deref());
    let kept = transfer.connection.as_ref();
    let report = made.or_else(|| kept.and_then(|facts| facts.report.as_deref()));
    match (&transfer.failure, report) {
        (Some((code::PEER, id, _)), _) if !transfer.is_proxys_failure => openssl_number(id),
        (_, Some(report)) => {
            let objection = report.objection.as_deref();
            objection.map_or(0, |objection| openssl_number(objection.cause.id()))
        }
        _ => 0,
    }
}

/// The same of the certificate of a proxy that is reached over TLS. What --proxy-insecure accepts is not judged.
fn proxy_verification(transfer: &Transfer) -> u64 {
    match &transfer.failure {
        Some((code::PEER, id, _)) if transfer.is_proxys_failure => openssl_number(id),
        _ => 0,
    }
}

/// The number that OpenSSL has for a certificate that is refused (`X509_V_ERR_…`); 1 where it has none.
fn openssl_number(id: &str) -> u64 {
    match id {
        "certificate-not-yet-valid" => 9,
        "certificate-expired" => 10,
        "self-signed" => 18,
        "untrusted-root" | "likely-interception" => 19,
        "missing-intermediate" | "unknown-issuer" | "no-trust-anchors" => 20,
        "certificate-revoked" => 23,
        "issuer-not-a-ca" => 24,
        "path-too-long" => 25,
        "wrong-purpose" => 26,
        "unknown-critical-extension" => 34,
        "name-constraint" => 47,
        "name-mismatch" | "ip-address-not-listed" | "no-subject-alt-name" => 62,
        _ => 1,
    }
}

fn port_of_url(step: &Step) -> Option<u16> {
    url::Url::parse(&step.url).ok()?.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::transfer::Recorder;
    use super::*;

    fn rendered(format: &str) -> Vec<(Place, String)> {
        let recorder = Recorder::new("https://h/a\u{9b}b", 3, &Method::PUT);
        let parts = Format(format.to_owned()).render(&recorder.transfer(), true);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        parts
            .into_iter()
            .map(|(place, bytes)| (place, text(bytes)))
            .collect()
    }

    #[test]
    fn formats_have_curls_syntax() {
        for (format, expected) in [
            ("a%%b\\n\\t\\q\\", "a%b\n\t\\q\\"),
            ("%{http_code} %{response_code} %{http_version}", "000 000 0"),
            ("%{urlnum}%{method}%{exitcode}", "3PUT0"),
            ("%{remote_ip}|%{remote_port}|%header{x}|", "|0||"),
            ("%{nonsense", "%{nonsense"),
            ("100% %q %", "100% %q %"),
            ("%{time_total}", "0.000000"),
            ("%{unknown_one}x", "x"),
            ("a%{onerror}b", "a"),
            ("%{url}", "https://h/a\\u{9b}b"),
            ("%{header_json}", "{\n}"),
        ] {
            let expected = vec![(Place::Stdout, expected.to_owned())];
            assert_eq!(rendered(format), expected, "{format}");
        }
        let file = |appends| Place::File {
            path: "f".into(),
            appends,
        };
        assert_eq!(
            rendered("o%{stderr}e%{stdout}p%output{f}f%output{>>f}g"),
            [
                (Place::Stdout, "o".to_owned()),
                (Place::Stderr, "e".to_owned()),
                (Place::Stdout, "p".to_owned()),
                (file(false), "f".to_owned()),
                (file(true), "g".to_owned()),
            ]
        );
    }

    #[test]
    fn every_variable_has_a_value() {
        let recorder = Recorder::new("https://h/", 0, &Method::GET);
        let text = all(&recorder.transfer());
        let json: Json = serde_json::from_str(&text).unwrap();
        for name in VARIABLES {
            assert!(json.get(name).is_some(), "{name}");
        }
    }
}
