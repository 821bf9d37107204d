//! One case: a chain, a policy and the expected verdict, through every entry point.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::thread;

use handfast::{
    Cause, CertificateDer, ClientAuth, ClientContext, ClosePolicy, Error, Identity, Passphrase,
    PeerCause, Purpose, ServerContext, ServerName, SpkiSha256, TlsVersion, TrustAnchors, UnixTime,
    VerificationPolicy, VerifyCause, VerifyError,
};
use handfast_testbed::careless::Careless;
use handfast_testbed::pki::{Issued, Pki, Spec};
use rustls::SupportedProtocolVersion;

pub(crate) const NAME: &str = "shop.example";
pub(crate) const VERSIONS: [(TlsVersion, &SupportedProtocolVersion); 2] = [
    (TlsVersion::Tls12, &rustls::version::TLS12),
    (TlsVersion::Tls13, &rustls::version::TLS13),
];

/// A chain, a policy and the expected verdict.
pub(crate) struct Case {
    what: String,
    purpose: Purpose,
    chain: Vec<CertificateDer<'static>>,
    peer: Careless,
    policy: VerificationPolicy,
    name: &'static str,
    expected: Option<Refusal>,
}

/// The pattern that the cause must match, as text and as a function, and the position of the certificate at fault.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) pattern: &'static str,
    pub(crate) matches: fn(&VerifyCause) -> bool,
    pub(crate) at_index: Option<usize>,
}

/// `refused!(at POSITION, PATTERN)`; `None` if no sent certificate is at fault.
macro_rules! refused {
    (at $index:expr, $pattern:pat $(if $guard:expr)?) => {
        Some($crate::case::Refusal {
            pattern: stringify!($pattern $(if $guard)?),
            matches: |cause| matches!(cause, $pattern $(if $guard)?),
            at_index: $index,
        })
    };
}

impl Case {
    pub(crate) fn new(
        purpose: Purpose,
        what: impl Into<String>,
        end_entity: &Issued,
        issuers: &[&Issued],
        trusted: &[&Issued],
        expected: Option<Refusal>,
    ) -> Self {
        let chain = end_entity.chain_with(issuers);
        let peer = Careless::new(chain.clone(), &end_entity.key_der());
        let policy = VerificationPolicy::new(trust(trusted));
        let what = what.into();
        Self {
            what,
            purpose,
            chain,
            peer,
            policy,
            name: NAME,
            expected,
        }
    }

    pub(crate) fn policy(
        mut self,
        change: impl FnOnce(VerificationPolicy) -> VerificationPolicy,
    ) -> Self {
        self.policy = change(self.policy);
        self
    }

    pub(crate) fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// The same chain in another order, or with other certificates.
    pub(crate) fn chain(mut self, end_entity: &Issued, chain: &[&Issued]) -> Self {
        self.chain = chain.iter().map(|one| one.der.clone()).collect();
        self.peer = Careless::new(self.chain.clone(), &end_entity.key_der());
        self
    }

    /// Through every entry point.
    pub(crate) fn check(&self) {
        self.assert_result("policy", self.by_policy());
        for (version, rustls_version) in VERSIONS {
            type Way =
                fn(&Case, TlsVersion, &'static SupportedProtocolVersion) -> Result<(), Error>;
            let ways: [(&str, Way); 3] = match self.purpose {
                Purpose::ServerAuth => [
                    ("connection", Self::by_client_connection),
                    ("stream", Self::by_client_stream),
                    ("async stream", Self::by_client_async_stream),
                ],
                _ => [
                    ("connection", Self::by_server_connection),
                    ("stream", Self::by_server_stream),
                    ("async stream", Self::by_server_async_stream),
                ],
            };
            for (way, check) in ways {
                let result = check(self, version, rustls_version);
                self.assert_result(
                    &format!("{way}, {version:?}"),
                    result.map_err(|error| match error.cause() {
                        Cause::Peer(PeerCause::Certificate(refused)) => (**refused).clone(),
                        other => panic!("{}: {way}, {version:?}: {other:?}", self.what),
                    }),
                );
            }
        }
    }

    fn assert_result(&self, way: &str, result: Result<(), VerifyError>) {
        let what = format!("{:?}, {}, by {way}", self.purpose, self.what);
        match (result, &self.expected) {
            (Ok(()), None) => {}
            (Ok(()), Some(expected)) => {
                panic!("{what}: VERIFIED, and should be {}", expected.pattern)
            }
            (Err(refused), None) => panic!("{what}: refused: {refused:?}"),
            (Err(refused), Some(expected)) => {
                assert!(
                    (expected.matches)(&refused.cause),
                    "{what}: {:?}, not {}",
                    refused.cause,
                    expected.pattern
                );
                assert_eq!(
                    refused.at_index, expected.at_index,
                    "{what}: {:?}",
                    refused.cause
                );
                assert_eq!(refused.chain, self.chain, "{what}: the chain as sent");
                assert_eq!(refused.purpose, self.purpose);
            }
        }
    }

    #[allow(clippy::result_large_err)] // as the library has it
    fn by_policy(&self) -> Result<(), VerifyError> {
        let now = UnixTime::now();
        match self.purpose {
            Purpose::ServerAuth => {
                let name = ServerName::parse(self.name).unwrap();
                self.policy.check_server_chain(&self.chain, &name, now)
            }
            _ => self.policy.check_client_chain(&self.chain, now),
        }
        .map(|_| ())
    }

    fn client(&self, version: TlsVersion) -> ClientContext {
        ClientContext::builder()
            .policy(self.policy.clone())
            .versions([version])
            .build()
            .unwrap()
    }

    fn server(&self, version: TlsVersion) -> ServerContext {
        let demand = ClientAuth::Required(self.policy.anchors().clone());
        ServerContext::builder()
            .identity(identity(&Pki::new().server(&["localhost"])))
            .client_auth(demand)
            .chain_depth_max(self.policy.chain_depth_max())
            .revocation_lists(self.policy.revocation_lists().clone())
            .versions([version])
            .build()
            .unwrap()
    }

    fn by_client_connection(
        &self,
        version: TlsVersion,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let connection = self.client(version).connection(self.name)?;
        let peer = self.peer.server(rustls_version);
        let connection = in_memory(connection, peer.into())?;
        assert!(connection.report().unwrap().peer.is_some());
        Ok(())
    }

    fn by_server_connection(
        &self,
        version: TlsVersion,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let connection = self.server(version).connection()?;
        let peer = self.peer.client(rustls_version);
        let connection = in_memory(connection, peer.into())?;
        assert!(connection.report().unwrap().peer.is_some());
        Ok(())
    }

    fn by_client_stream(
        &self,
        version: TlsVersion,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let socket = TcpStream::connect(self.peer.serve(rustls_version, 1)).unwrap();
        let mut stream = self.client(version).secure(self.name, socket)?;
        assert_eq!(stream.read_to_ending().unwrap().0, b"hello");
        stream.close(ClosePolicy::Send);
        Ok(())
    }

    fn by_client_async_stream(
        &self,
        version: TlsVersion,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let address = self.peer.serve(rustls_version, 1);
        runtime().block_on(async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            let client = self.client(version);
            let mut stream = client.secure_async(self.name, socket).await?;
            assert_eq!(stream.read_to_ending(100).await.unwrap().0, b"hello");
            Ok(())
        })
    }

    fn by_server_stream(
        &self,
        version: TlsVersion,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let (listener, caller) = self.caller(rustls_version);
        let accepted = self.server(version).accept(listener.accept().unwrap().0);
        let result = accepted.map_err(Error::from).map(|mut stream| {
            stream.write_all(b"hello").unwrap();
            stream.close(ClosePolicy::default());
        });
        drop(listener);
        let called = caller.join().unwrap();
        assert_eq!(called, result.is_ok(), "the client saw what the server saw");
        result
    }

    fn by_server_async_stream(
        &self,
        version: TlsVersion,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let (listener, caller) = self.caller(rustls_version);
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let result = runtime().block_on(async {
            let socket = tokio::net::TcpStream::from_std(socket).unwrap();
            let mut stream = self.server(version).accept_async(socket).await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"hello")
                .await
                .unwrap();
            stream.close(ClosePolicy::default()).await;
            Ok(())
        });
        caller.join().unwrap();
        result
    }

    /// A listener, and a client that connects to it and reports whether it received the answer.
    fn caller(
        &self,
        rustls_version: &'static SupportedProtocolVersion,
    ) -> (TcpListener, thread::JoinHandle<bool>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peer = self.peer.clone();
        let caller = thread::spawn(move || {
            let reply = peer.call(address, rustls_version);
            reply.is_ok_and(|reply| reply == b"hello")
        });
        (listener, caller)
    }
}

/// Our connection against one of rustls, until the handshake completes or fails.
pub(crate) fn in_memory(
    mut ours: handfast::Connection,
    mut theirs: rustls::Connection,
) -> Result<handfast::Connection, Error> {
    for _ in 0..10 {
        let bytes = ours.outgoing().to_vec();
        ours.sent(bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            theirs.read_tls(&mut rest).unwrap();
            // It may have been refused: its own error does not matter.
            let _ = theirs.process_new_packets();
        }
        let mut bytes = Vec::new();
        while theirs.wants_write() {
            theirs.write_tls(&mut bytes).unwrap();
        }
        ours.receive(&bytes);
        let result = ours.process();
        if let Err(error) = result {
            // rustls sends no alert only to a peer without a certificate.
            let silent = theirs.is_handshaking() && error.explain().id.contains("no-cert");
            assert!(
                silent || !ours.outgoing().is_empty(),
                "an alert for {error:?}"
            );
            return Err(error);
        }
        if !ours.is_handshaking() {
            return Ok(ours);
        }
    }
    panic!("the handshake does not complete");
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) fn identity(issued: &Issued) -> Identity {
    let chain = issued.chain_pem(&[]);
    let key = issued.key_pem();
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap()
}

pub(crate) fn trust(certificates: &[&Issued]) -> TrustAnchors {
    certificates
        .iter()
        .fold(TrustAnchors::empty(), |anchors, one| {
            anchors.with_certificate_der(one.der.clone()).unwrap()
        })
}

pub(crate) fn pin(issued: &Issued) -> SpkiSha256 {
    SpkiSha256::of_certificate(&issued.der).unwrap()
}

/// A valid end entity for this purpose, with the test server's name.
pub(crate) fn good(purpose: Purpose) -> Spec {
    match purpose {
        Purpose::ServerAuth => Spec::server(&[NAME]),
        _ => Spec::client("alice"),
    }
}

pub(crate) const PURPOSES: [Purpose; 2] = [Purpose::ServerAuth, Purpose::ClientAuth];

pub(crate) fn check_both(cases: impl Fn(Purpose) -> Vec<Case>) {
    for purpose in PURPOSES {
        for case in cases(purpose) {
            case.check();
        }
    }
}

pub(crate) use refused;
