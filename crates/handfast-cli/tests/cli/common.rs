//! What the tests of the commands start from: a PKI of their own with its files, and the program, which
//! trusts that PKI alone and knows nothing of the machine that it runs on.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use handfast_testbed::launch::{Finished, OpensslServer, Program};
use handfast_testbed::misbehaving::Misbehaving;
use handfast_testbed::pki::{Issued, IssuedFiles, Pki};

const HANDFAST: &str = env!("CARGO_BIN_EXE_handfast");

/// A PKI, a server's identity, and a directory with their files.
pub(crate) struct Fixture {
    pub(crate) pki: Pki,
    /// The file with the trust anchors: the PKI's root, unless a test writes others.
    pub(crate) ca: PathBuf,
    /// For `localhost` and `127.0.0.1`, straight from the root.
    server: Issued,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::new();
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, pki.root.cert_pem()).unwrap();
        let server = pki.server(&["localhost", "127.0.0.1"]);
        let files = server.write(directory.path(), "server", &[]);
        Self {
            pki,
            ca,
            server,
            chain: files.chain_pem,
            key: files.key_pem,
            directory,
        }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn files(&self, name: &str, issued: &Issued) -> IssuedFiles {
        issued.write(self.directory(), name, &[])
    }

    /// A scripted server with the server's identity.
    pub(crate) fn misbehaving(&self) -> Misbehaving {
        Misbehaving::new(&self.server, &[])
    }

    /// `openssl s_server` with another identity and these arguments.
    pub(crate) fn openssl<S: AsRef<OsStr>>(
        &self,
        identity: &Issued,
        args: &[S],
    ) -> Option<OpensslServer> {
        let files = self.files("openssl", identity);
        let mut all = vec![
            OsStr::new("-cert"),
            files.chain_pem.as_os_str(),
            OsStr::new("-key"),
            files.key_pem.as_os_str(),
        ];
        all.extend(args.iter().map(AsRef::as_ref));
        OpensslServer::launch(&all)
    }

    /// The program, to be run to its end.
    pub(crate) fn program(&self, command: &str) -> Program {
        Program::at(HANDFAST)
            .env("HANDFAST_CA_DIR", self.no_authority())
            .arg(command)
    }

    /// The program, with streams of the test's own.
    pub(crate) fn command(&self, command: &str) -> Command {
        let mut program = Command::new(HANDFAST);
        program
            .env("HANDFAST_CA_DIR", self.no_authority())
            .env_remove("SSLKEYLOGFILE")
            .arg(command);
        program
    }

    /// The arguments that make a command trust only the anchors in [`Self::ca`].
    pub(crate) fn trust(&self) -> [&OsStr; 2] {
        ["--cacert".as_ref(), self.ca.as_ref()]
    }

    /// Runs a command that trusts the PKI alone.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        command: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Finished {
        let program = self.program(command).args(self.trust());
        let finished = program.args(args).run();
        assert!(!finished.timed_out, "{command} hangs: {finished}");
        finished
    }

    /// Where the program looks for the local authority.
    fn no_authority(&self) -> PathBuf {
        self.path("no-such-ca")
    }
}

/// A port of this machine, by the name that certificates of the tests are for.
pub(crate) fn localhost(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}
