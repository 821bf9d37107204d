//! An authority, its certificates, and contexts for our client and server.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use handfast::{
    ClientAuth, ClientContext, Identity, Passphrase, ServerContext, Timeouts, TlsVersion,
    TrustAnchors,
};
use handfast_testbed::launch::OpensslServer;
use handfast_testbed::pki::{Issued, IssuedFiles, Pki, Spec};

pub(crate) const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];
pub(crate) const REQUEST: &str = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
/// Longer than any exchange in these tests takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An authority, a server below an intermediate, a client, and their files.
pub(crate) struct Office {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) server: IssuedFiles,
    pub(crate) client: IssuedFiles,
    pub(crate) server_identity: Identity,
    pub(crate) client_identity: Identity,
    pub(crate) trust: TrustAnchors,
}

impl Office {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        let middle = pki.root.issue(Spec::authority("Middle"));
        let server = middle.issue(Spec::server(&["localhost", "127.0.0.1"]));
        let client = middle.issue(Spec::client("alice"));
        let files = |one: &Issued, name| one.write(directory.path(), name, &[&middle]);
        let root = pki.root.write(directory.path(), "root", &[]).chain_pem;
        Self {
            server: files(&server, "server"),
            client: files(&client, "client"),
            server_identity: identity(&server, &middle),
            client_identity: identity(&client, &middle),
            trust: TrustAnchors::empty().with_file(&root).unwrap(),
            root,
            directory,
        }
    }

    /// Our client; with the client certificate if it is to `identify` itself.
    pub(crate) fn client(&self, version: TlsVersion, identify: bool) -> ClientContext {
        let mut builder = ClientContext::builder()
            .trust(self.trust.clone())
            .versions([version])
            .timeouts(Timeouts::all(SOON));
        if identify {
            builder = builder.identity(self.client_identity.clone());
        }
        builder.build().unwrap()
    }

    /// Our server, which requires a client certificate if clients are to `identify` themselves.
    pub(crate) fn server(&self, version: TlsVersion, identify: bool) -> ServerContext {
        let demand = match identify {
            true => ClientAuth::Required(self.trust.clone()),
            false => ClientAuth::None,
        };
        ServerContext::builder()
            .identity(self.server_identity.clone())
            .client_auth(demand)
            .versions([version])
            .timeouts(Timeouts::all(SOON))
            .build()
            .unwrap()
    }
}

pub(crate) fn identity(issued: &Issued, issuer: &Issued) -> Identity {
    let chain = issued.chain_pem(&[issuer]);
    let key = issued.key_pem();
    Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none()).unwrap()
}

pub(crate) fn os(arguments: &[&str]) -> Vec<OsString> {
    arguments.iter().map(OsString::from).collect()
}

pub(crate) fn openssl_server(
    office: &Office,
    identify: bool,
    more: &[&str],
) -> Option<OpensslServer> {
    let mut arguments = os(&["-cert"]);
    arguments.extend([office.server.chain_pem.clone().into()]);
    arguments.extend(os(&["-cert_chain"]));
    arguments.extend([office.server.chain_pem.clone().into()]);
    arguments.extend(os(&["-key"]));
    arguments.extend([office.server.key_pem.clone().into()]);
    if identify {
        arguments.extend(os(&["-Verify", "5", "-verify_return_error", "-CAfile"]));
        arguments.extend([office.root.clone().into()]);
    }
    arguments.extend(os(more));
    OpensslServer::launch(&arguments)
}
