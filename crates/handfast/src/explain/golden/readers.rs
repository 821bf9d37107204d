//! Rejected chains for other readers: a server with a client's chain, and a user with a file.

use handfast_testbed::pki::{Issued, Spec};

use super::row::{DAY, NOW, Row};
use crate::error::{Error, PeerCause};
use crate::phase::Phase;
use crate::side::Side;
use crate::verify::{Purpose, VerifyCause, VerifyError};

fn spec(spec: Spec) -> Spec {
    spec.valid_between((NOW - 300 * DAY) as u64, (NOW + 60 * DAY) as u64)
}

fn refused(end: &Issued, cause: VerifyCause, purpose: Purpose, name: Option<&str>) -> PeerCause {
    PeerCause::Certificate(Box::new(VerifyError {
        cause,
        at_index: Some(0),
        chain: end.chain_with(&[]),
        trust_problems: Vec::new(),
        purpose,
        name: name.map(str::to_owned),
        now: NOW as u64,
    }))
}

fn subject() -> String {
    "CN=alice".to_owned()
}

/// Frequent causes for a client's chain.
fn of_a_client() -> [(&'static str, VerifyCause); 5] {
    [
        (
            "missing-intermediate",
            VerifyCause::UnknownIssuer {
                subject: subject(),
                issuer: "CN=Example Intermediate".to_owned(),
                ca_issuer_urls: vec!["http://ca.example/middle.der".to_owned()],
                is_end_entity: true,
                has_trusted_namesake: false,
            },
        ),
        (
            "self-signed",
            VerifyCause::SelfSigned { subject: subject() },
        ),
        (
            "ca-used-as-end-entity",
            VerifyCause::CaUsedAsEndEntity { subject: subject() },
        ),
        (
            "certificate-expired",
            VerifyCause::Expired {
                subject: subject(),
                not_after: NOW + 60 * DAY,
                now: NOW + 61 * DAY,
            },
        ),
        (
            "wrong-purpose",
            VerifyCause::ExtendedKeyUsage {
                subject: subject(),
                required: "clientAuth",
                presented: vec!["serverAuth".to_owned()],
            },
        ),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let root = spec(Spec::authority("Example Root")).self_signed();
    let alice = root.issue(spec(Spec::client("alice")));
    let seen_by_server = of_a_client().map(|(id, cause)| {
        let cause = refused(&alice, cause, Purpose::ClientAuth, None);
        let error = Error::new(Phase::Handshake, cause).seen_by(Some(Side::Server), None);
        (format!("{id}.client"), error)
    });
    let in_a_file = of_a_client().map(|(id, cause)| {
        let cause = refused(&alice, cause, Purpose::ClientAuth, None);
        (
            format!("{id}.client-file"),
            Error::new(Phase::Configure, cause),
        )
    });
    let named = |presented: &[&str], expected: &str, phase| {
        let end = root.issue(spec(Spec::server(presented)));
        let cause = VerifyCause::NameMismatch {
            expected: expected.to_owned(),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        let cause = refused(&end, cause, Purpose::ServerAuth, Some(expected));
        Error::new(phase, cause).with_server_name(expected)
    };
    let mut rows: Vec<(String, Error)> = seen_by_server.into_iter().chain(in_a_file).collect();
    for (name, presented, expected, phase) in [
        (
            "name-mismatch.never-matches",
            &[
                "https://shop.example",
                "shop.example:443",
                "*.com",
                "shop.example.",
                "*",
            ][..],
            "shop.example",
            Phase::Handshake,
        ),
        (
            "name-mismatch.meant",
            &["www.shop.example", "shop.example:443"],
            "shop.example",
            Phase::Handshake,
        ),
        (
            "name-mismatch.file",
            &["www.shop.example"],
            "other.example",
            Phase::Configure,
        ),
    ] {
        rows.push((name.to_owned(), named(presented, expected, phase)));
    }
    for (name, depth, depth_max) in [
        ("chain-too-deep.settable", 3, 1),
        ("chain-too-deep.file", 9, 6),
    ] {
        let phase = match name.ends_with("file") {
            true => Phase::Configure,
            false => Phase::Handshake,
        };
        let cause = VerifyCause::DepthExceeded { depth, depth_max };
        let cause = refused(&alice, cause, Purpose::ServerAuth, Some("shop.example"));
        rows.push((name.to_owned(), Error::new(phase, cause)));
    }
    // File names are kept for the length of a test.
    rows.into_iter()
        .map(|(name, error)| (&*name.leak(), error))
        .collect()
}
