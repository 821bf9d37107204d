//! Every explanation as printed, compared with the files in `tests/explanations`.

mod certificates;
mod ours;
mod peers;
mod readers;
mod row;
mod server;

use std::path::{Path, PathBuf};

use handfast_testbed::golden;

use self::row::Row;
use crate::error::Cause;

/// The limit on an explanation's length.
const LINES_MAX: usize = 24;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations")
}

fn all() -> Vec<Row> {
    let mut rows = certificates::Chains::new().rows();
    rows.extend(readers::rows());
    rows.extend(peers::offers());
    rows.extend(peers::strangers());
    rows.extend(peers::networks());
    rows.extend(ours::configurations());
    rows.extend(ours::identities());
    rows.extend(server::rows());
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
