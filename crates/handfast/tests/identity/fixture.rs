//! Files made by OpenSSL, and the check that a loaded key works.

use std::ffi::OsStr;
use std::io::IoSlice;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use handfast::{
    ClientContext, Connection, Error, Identity, IdentityError, Passphrase, ReadOutcome,
    ServerContext, TrustAnchors,
};
use handfast_testbed::peers;

/// With a character outside of ASCII, on whose encoding OpenSSL and we must agree.
pub(crate) const PASSPHRASE: &str = "correct horse / battery \u{e9}";

/// A temporary directory, filled by OpenSSL.
pub(crate) struct Fixture {
    openssl: PathBuf,
    directory: PathBuf,
}

impl Fixture {
    pub(crate) fn new() -> Option<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let openssl = peers::require("openssl")?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("handfast-identity-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        Some(Self { openssl, directory })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Runs OpenSSL with arguments separated by spaces; `PASS` stands for `pass:` and the passphrase.
    pub(crate) fn openssl(&self, arguments: &str) {
        let source = format!("pass:{PASSPHRASE}");
        let arguments = arguments.split_whitespace().map(|argument| match argument {
            "PASS" => OsStr::new(&source),
            other => OsStr::new(other),
        });
        let output = Command::new(&self.openssl)
            .args(arguments.clone())
            .current_dir(&self.directory)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "openssl {:?}: {}",
            arguments.collect::<Vec<_>>(),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A key, and a self-signed certificate for `localhost`: `NAME.key` and `NAME.crt`.
    pub(crate) fn pair(&self, name: &str, genpkey: &str) {
        self.openssl(&format!("genpkey {genpkey} -out {name}.key"));
        self.openssl(&format!(
            "req -x509 -new -key {name}.key -subj /CN={name} -days 30 -out {name}.crt \
             -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE"
        ));
    }

    pub(crate) fn load(
        &self,
        chain: &str,
        key: &str,
        passphrase: Passphrase,
    ) -> Result<Identity, IdentityError> {
        Identity::from_files(self.path(chain), self.path(key), passphrase)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A handshake in memory between a server with this identity and a client that trusts `anchor`: the
/// client verifies the signature that only the right private key can make.
pub(crate) fn assert_serves(identity: Identity, anchor: &[u8], what: &str) {
    let server = ServerContext::builder().identity(identity).build().unwrap();
    let trust = TrustAnchors::empty().with_pem(anchor).unwrap();
    let client = ClientContext::builder().trust(trust).build().unwrap();
    let mut client = client.connection("localhost").unwrap();
    let mut server = server.connection().unwrap();
    for _ in 0..10 {
        carry(&mut client, &mut server);
        carry(&mut server, &mut client);
    }
    assert!(
        !client.is_handshaking(),
        "{what}: the handshake did not end"
    );
    client.write(&[IoSlice::new(b"ping")]).unwrap();
    client.flush().unwrap();
    carry(&mut client, &mut server);
    let mut buffer = [0; 16];
    let read = server.read(&mut buffer);
    assert!(matches!(read, Ok(ReadOutcome::Data(4))), "{what}: {read:?}");
    assert_eq!(&buffer[..4], b"ping", "{what}");
}

/// Transfers the output of one end to the other.
fn carry(from: &mut Connection, to: &mut Connection) {
    let bytes = from.outgoing().to_vec();
    to.receive(&bytes);
    from.sent(bytes.len());
    to.process().unwrap();
}

/// The error as shown to users.
pub(crate) fn message(error: IdentityError) -> String {
    Error::from(error).explain().to_string()
}
