//! Every explanation as printed, compared with the files in `tests/explanations`.

mod certificates;
mod ours;
mod peers;
mod readers;

use std::io;
use std::path::{Path, PathBuf};

use handfast_testbed::golden;

use crate::error::{Cause, Error, Phase};

const DAY: i64 = 86_400;
/// A day in November 2023.
const NOW: i64 = 1_700_000_000;
/// The limit on an explanation's length.
const LINES_MAX: usize = 24;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations")
}

/// A file name (the id, perhaps with a variant behind a dot) and the error.
type Row = (&'static str, Error);

fn handshake(cause: impl Into<Cause>) -> Error {
    Error::new(Phase::Handshake, cause).with_server_name("shop.example")
}

/// An error as returned by the operating system.
fn io_error(kind: io::ErrorKind) -> io::Error {
    let number = match kind {
        io::ErrorKind::NotFound => 2,
        io::ErrorKind::PermissionDenied => 13,
        io::ErrorKind::NetworkUnreachable => 101,
        _ => 5,
    };
    io::Error::from_raw_os_error(number)
}

fn all() -> Vec<Row> {
    let mut rows = certificates::Chains::new().rows();
    rows.extend(readers::rows());
    rows.extend(peers::offers());
    rows.extend(peers::strangers());
    rows.extend(peers::networks());
    rows.extend(ours::configurations());
    rows.extend(ours::identities());
    rows.extend(super::server::tests::rows());
    rows
}

#[test]
fn explanations_match_the_golden_files() {
    let texts = all().into_iter().map(|(name, error)| {
        let explanation = error.explain();
        assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
        (name.to_owned(), format!("{explanation}\n"))
    });
    golden::compare(&directory(), LINES_MAX, texts);
}

/// Errors of the peer and our own never share a message.
#[test]
fn errors_of_different_origins_have_different_ids() {
    let mut seen: Vec<(String, &'static str)> = Vec::new();
    for (name, error) in all() {
        let side = match error.cause() {
            Cause::Configuration(_) => "ours",
            Cause::Peer(_) => "the peer's",
            Cause::Network(_) => "the network's",
            Cause::Local(_) => "this machine's",
        };
        let id = error.explain().id.to_owned();
        // Missing trust anchors are detected at either time, and are our own error both times.
        if id == "no-trust-anchors" {
            continue;
        }
        if let Some((_, other)) = seen.iter().find(|(known, _)| *known == id) {
            assert_eq!(*other, side, "{name}");
        }
        seen.push((id, side));
    }
}
