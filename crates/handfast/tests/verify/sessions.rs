//! A session expires with the revocation lists with which its certificate was verified: of servers at clients and of
//! clients at servers, in TLS 1.2 and 1.3.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use handfast::{
    ClientAuth, ClientContext, Clock, Connection, Error, ExpiredLists, RevocationLists,
    ServerContext, TlsVersion,
};
use handfast_testbed::crl::Crl;
use handfast_testbed::pki::{DAY_SECS, Issued, Pki, now_secs};

use crate::case::{VERSIONS, identity, trust};

const HOUR_SECS: u64 = 3600;

/// A client, a server, both with certificates, and their clock.
struct Ends {
    pki: Pki,
    server: Issued,
    client: Issued,
    time: Arc<AtomicU64>,
}

/// The side that checks revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    Client,
    Server,
}

impl Ends {
    fn new() -> Self {
        let pki = Pki::new();
        let (server, client) = (pki.server(&["localhost"]), pki.client("alice"));
        Self {
            pki,
            server,
            client,
            time: Arc::new(AtomicU64::new(now_secs())),
        }
    }

    fn clock(&self) -> Clock {
        let time = Arc::clone(&self.time);
        Clock::new(move || UNIX_EPOCH + Duration::from_secs(time.load(Ordering::Relaxed)))
    }

    fn lists(&self, revoked: &[&Issued]) -> RevocationLists {
        let now = now_secs();
        let list = Crl::by(&self.pki.root).between(now - DAY_SECS, Some(now + HOUR_SECS));
        let list = revoked.iter().fold(list, |list, one| list.revoking(one));
        RevocationLists::none().with_der(list.der()).unwrap()
    }

    fn client(&self, version: TlsVersion, lists: RevocationLists) -> ClientContext {
        ClientContext::builder()
            .trust(trust(&[&self.pki.root]))
            .identity(identity(&self.client))
            .revocation_lists(lists)
            .versions([version])
            .clock(self.clock())
            .build()
            .unwrap()
    }

    fn server(
        &self,
        version: TlsVersion,
        lists: RevocationLists,
        before: Option<&ServerContext>,
    ) -> ServerContext {
        let mut builder = ServerContext::builder()
            .identity(identity(&self.server))
            .client_auth(ClientAuth::Required(trust(&[&self.pki.root])))
            .revocation_lists(lists)
            .versions([version])
            .clock(self.clock());
        if let Some(before) = before {
            builder = builder.succeeding(before);
        }
        builder.build().unwrap()
    }
}

fn carry(from: &mut Connection, to: &mut Connection) {
    let bytes = from.outgoing().to_vec();
    from.sent(bytes.len());
    to.receive(&bytes);
}

/// Whether a session was resumed, or the error of either end.
fn exchange(client: &ClientContext, server: &ServerContext) -> Result<bool, Error> {
    let mut client = client.connection("localhost")?;
    let mut server = server.connection()?;
    for _ in 0..6 {
        carry(&mut client, &mut server);
        server.process()?;
        carry(&mut server, &mut client);
        client.process()?;
    }
    // TLS 1.3 sends its tickets after the handshake.
    server.write(&[std::io::IoSlice::new(b"x")])?;
    server.flush()?;
    carry(&mut server, &mut client);
    client.read(&mut [0; 8])?;
    Ok(client.report().unwrap().resumed)
}

#[test]
fn a_session_expires_with_its_revocation_lists() {
    for (version, _) in VERSIONS {
        for checks in [Checks::Client, Checks::Server] {
            for expired in [ExpiredLists::Refuse, ExpiredLists::Accept] {
                let case = format!("{:?}, {checks:?}, {expired:?}", version);
                let ends = Ends::new();
                let of = |who| match who == checks {
                    true => ends.lists(&[]).with_expired(expired),
                    false => RevocationLists::none(),
                };
                let client = ends.client(version, of(Checks::Client));
                let server = ends.server(version, of(Checks::Server), None);
                assert!(!exchange(&client, &server).unwrap(), "{case}");
                assert!(exchange(&client, &server).unwrap(), "{case}: resumed");
                // Tickets are valid for longer.
                ends.time.fetch_add(2 * HOUR_SECS, Ordering::Relaxed);
                let later = exchange(&client, &server);
                match expired {
                    ExpiredLists::Refuse => {
                        let refused = later.expect_err(&case).explain().id;
                        assert!(
                            matches!(refused, "crl-expired" | "client-certificate-refused"),
                            "{case}: {refused}"
                        );
                    }
                    _ => assert!(later.expect(&case), "{case}: resumed"),
                }
            }
        }
    }
}

#[test]
fn a_list_that_becomes_valid_ends_sessions() {
    for (version, _) in VERSIONS {
        let ends = Ends::new();
        let now = now_secs();
        let tomorrow = Crl::by(&ends.pki.root)
            .number(2)
            .between(now + HOUR_SECS, Some(now + 9 * DAY_SECS));
        for checks in [Checks::Client, Checks::Server] {
            ends.time.store(now, Ordering::Relaxed);
            let revoked = match checks {
                Checks::Client => &ends.server,
                Checks::Server => &ends.client,
            };
            let coming = tomorrow.clone().revoking(revoked).der();
            let lists = ends.lists(&[]).with_der(coming).unwrap();
            let of = |who| match who == checks {
                true => lists.clone(),
                false => RevocationLists::none(),
            };
            let client = ends.client(version, of(Checks::Client));
            let server = ends.server(version, of(Checks::Server), None);
            assert!(!exchange(&client, &server).unwrap());
            assert!(exchange(&client, &server).unwrap(), "resumed");
            ends.time.fetch_add(2 * HOUR_SECS, Ordering::Relaxed);
            let refused = exchange(&client, &server).unwrap_err().explain().id;
            assert!(
                refused.contains("revoked"),
                "{version:?} {checks:?}: {refused}"
            );
        }
    }
}

#[test]
fn a_server_with_a_new_list_does_not_resume_sessions_of_revoked_clients() {
    for (version, _) in VERSIONS {
        let ends = Ends::new();
        let client = ends.client(version, RevocationLists::none());
        let server = ends.server(version, ends.lists(&[]), None);
        assert!(!exchange(&client, &server).unwrap());
        assert!(exchange(&client, &server).unwrap(), "resumed");
        let reloaded = ends.server(version, ends.lists(&[&ends.client]), Some(&server));
        let refused = exchange(&client, &reloaded).unwrap_err().explain().id;
        assert!(refused.contains("revoked"), "{version:?}: {refused}");
    }
}

#[test]
fn a_session_expires_with_every_list_that_its_certificate_is_also_checked_against() {
    for (version, _) in VERSIONS {
        for checks in [Checks::Client, Checks::Server] {
            let ends = Ends::new();
            let now = now_secs();
            let long = Crl::by(&ends.pki.root).between(now - DAY_SECS, Some(now + 9 * DAY_SECS));
            let long = RevocationLists::none().with_der(long.der()).unwrap();
            let lists = long.clone().and_also(long).and_also(ends.lists(&[]));
            let of = |who| match who == checks {
                true => lists.clone(),
                false => RevocationLists::none(),
            };
            let client = ends.client(version, of(Checks::Client));
            let server = ends.server(version, of(Checks::Server), None);
            assert!(!exchange(&client, &server).unwrap());
            assert!(exchange(&client, &server).unwrap(), "resumed");
            ends.time.fetch_add(2 * HOUR_SECS, Ordering::Relaxed);
            let refused = exchange(&client, &server)
                .expect_err(&format!("{version:?} {checks:?}"))
                .explain()
                .id;
            assert!(
                matches!(refused, "crl-expired" | "client-certificate-refused"),
                "{version:?} {checks:?}: {refused}"
            );
        }
    }
}
