//! The command lines, by topic.

mod bodies;
mod codings;
mod everyday;
mod failures;
mod files;
mod many;
mod redirects;
mod reports;
mod requests;
mod resuming;
mod secrets;
mod tls;
mod whereto;

use super::row::Row;

/// Reasons for differences of several lines.
const EXPECT: &str =
    "small files are sent at once; curl 7 asks before every upload (Expect: 100-continue)";
const LENGTH: &str =
    "methods that expect a body announce that there is none (RFC 9110, section 8.6)";
const PART: &str = "what arrived is kept in FILE.part; FILE is not touched";
const PROBE: &str = "after a certificate was refused, another connection asks for the server's clock and redirects, to explain the refusal; nothing of the request is in it (--no-probe leaves it out)";
const HTTPS: &str = "the scheme is not spoken";

/// Heading and lines.
pub(super) const TOPICS: [(&str, &[Row]); 13] = [
    ("Everyday use", everyday::ROWS),
    ("Requests and header fields", requests::ROWS),
    ("Bodies and uploads", bodies::ROWS),
    ("Credentials and cookies", secrets::ROWS),
    ("Redirects", redirects::ROWS),
    ("Files and output", files::ROWS),
    ("Ranges, going on, conditions", resuming::ROWS),
    ("Content codings, sizes", codings::ROWS),
    ("Reports", reports::ROWS),
    ("Several URLs", many::ROWS),
    ("Where to: addresses, proxies", whereto::ROWS),
    ("Trust and TLS", tls::ROWS),
    ("Failures and time limits", failures::ROWS),
];

pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    TOPICS.iter().flat_map(|(_, rows)| rows.iter())
}
