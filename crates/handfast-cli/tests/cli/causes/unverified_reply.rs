//! What servers say that are not verified: it may change words, and they learn nothing by it.

use std::time::Duration;

use handfast_testbed::misbehaving::{Misbehaving, Served, Step};
use handfast_testbed::pki::{DAY_SECS, Issued, Spec, now_secs};

use super::{Case, NAME, PEER, Peer};
use crate::common::Fixture;

/// A server that answers every request so, and keeps what it was asked.
fn answering(identity: &Issued, response: String) -> Served {
    Misbehaving::new(identity, &[]).serve([
        Step::ReadHead,
        Step::send(response),
        Step::CloseNotify,
        Step::Fin,
    ])
}

#[test]
fn a_wrong_clock_and_a_captive_portal_are_told_apart_as_unproven() {
    let fixture = Fixture::new();
    let root = &fixture.pki.root;
    let server = || Spec::server(&[NAME]);
    let now = now_secs();
    let http_date = |at: u64| {
        let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        httpdate::fmt_http_date(at)
    };
    let dated = |at| {
        format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: 0\r\n\r\n",
            http_date(at)
        )
    };
    let last_year = server().valid_between(now - 400 * DAY_SECS, now - 10 * DAY_SECS);
    let next_week = server().valid_between(now + 5 * DAY_SECS, now + 90 * DAY_SECS);
    let hotel = Spec::server(&["login.hotel.example"]);
    let www = Spec::server(&["www.shop.example"]);
    let redirect =
        |host: &str| format!("HTTP/1.1 302 Found\r\nLocation: https://{host}/in\x1b[2J\r\n\r\n");
    for (spec, response, library, id, says) in [
        (
            &last_year,
            dated(now),
            "certificate-expired",
            "certificate-expired",
            "(unproven)",
        ),
        (
            &last_year,
            dated(now - 20 * DAY_SECS),
            "certificate-expired",
            "clock-skew",
            "they are 20 days apart",
        ),
        // By this clock it is no more valid than by ours.
        (
            &last_year,
            dated(now - 900 * DAY_SECS),
            "certificate-expired",
            "certificate-expired",
            "(unproven)",
        ),
        (
            &last_year,
            "HTTP/1.1 500 \r\n\r\n".to_owned(),
            "certificate-expired",
            "certificate-expired",
            "clock says",
        ),
        (
            &next_week,
            dated(now + 6 * DAY_SECS),
            "certificate-not-yet-valid",
            "clock-skew",
            "(unproven)",
        ),
        (
            &hotel,
            redirect("login.hotel.example"),
            "name-mismatch",
            "captive-portal",
            "log in to the network",
        ),
        (
            &hotel,
            "HTTP/1.1 511 x\r\n\r\n".to_owned(),
            "name-mismatch",
            "captive-portal",
            "login page",
        ),
        (
            &hotel,
            dated(now),
            "name-mismatch",
            "name-mismatch",
            "login.hotel.example",
        ),
        // A site that has forgotten a name is no portal.
        (
            &www,
            redirect("www.shop.example"),
            "name-mismatch",
            "name-mismatch",
            "without verification, it redirects to www.shop.example",
        ),
    ] {
        let identity = root.issue(spec.clone());
        let served = answering(&identity, response);
        let peer = Peer::at(served.address());
        let case = Case::new(library, PEER);
        assert_eq!(fixture.library(&peer, &case), Some(library), "{id}");
        let port = peer.address.port();
        let url = format!("https://alice:s3cret@{NAME}:{port}/private");
        let resolve = format!("{NAME}:{port}:127.0.0.1");
        let place = peer.address.to_string();
        for (command, args) in [
            (
                "get",
                &["--resolve", &resolve, "-H", "Cookie: k=s3cret", &url][..],
            ),
            ("inspect", &["--connect-to", &place, NAME]),
        ] {
            let told = fixture.run(command, args);
            assert_eq!(told.code, Some(PEER), "{command} {id} {told}");
            assert!(
                told.err().contains(&format!("[{id}]")),
                "{command} {id} {told}"
            );
            assert!(told.err().contains(says), "{command} {id} {told}");
            assert!(!told.err().contains('\x1b'), "{told}");
            let forbidden = fixture.run(command, [&["--no-probe"], args].concat());
            assert!(
                forbidden.err().contains(&format!("[{library}]")),
                "{forbidden}"
            );
            assert!(!forbidden.err().contains("unproven"), "{forbidden}");
        }
    }
}

#[test]
fn nothing_of_the_user_s_reaches_a_server_that_is_not_verified() {
    let fixture = Fixture::new();
    let identity = fixture.pki.root.issue(Spec::server(&[NAME]).expired());
    let served = answering(&identity, "HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let port = served.address().port();
    let url = format!("https://alice:s3cret@{NAME}:{port}/private?q=s3cret");
    let args = [
        "--resolve",
        &format!("{NAME}:{port}:127.0.0.1"),
        "-H",
        "Cookie: k=s3cret",
        "-d",
        "s3cret",
        &url,
    ];
    let told = fixture.run("get", args);
    assert!(told.err().contains("[certificate-expired]"), "{told}");
    let expected = format!("HEAD / HTTP/1.1\r\nHost: {NAME}:{port}\r\nConnection: close\r\n\r\n");
    assert_eq!(served.received_text(), expected);
}
