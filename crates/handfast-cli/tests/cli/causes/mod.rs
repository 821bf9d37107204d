//! A table of causes: each produced for real, and what the library, `get`, `connect` and `inspect` call it.
//!
//! No cause may be reported as another one. Where the wire allows it, TLS 1.2 and 1.3 say the same.

mod certificates;
mod identities;
mod probed;
mod replies;
mod strangers;
mod unverified_reply;

use std::any::Any;
use std::io::Read;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use handfast::{
    Cause, ClientContext, Identity, NetworkCause, Passphrase, RevocationLists, SpkiSha256,
    Timeouts, TrustAnchors,
};
use handfast_testbed::launch::OpensslServer;
use serde_json::Value;

use crate::common::Fixture;

const NAME: &str = "shop.example";
/// What curl's exit codes mean here.
const HANDSHAKE: i32 = 35;
const PEER: i32 = 60;
const PINNED_KEY: i32 = 90;

/// A peer at work, and whatever keeps it alive.
struct Peer {
    address: SocketAddr,
    _keep: Option<Box<dyn Any>>,
}

impl Peer {
    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            _keep: None,
        }
    }

    fn openssl(server: OpensslServer) -> Self {
        Self {
            address: server.address(),
            _keep: Some(Box::new(server)),
        }
    }
}

/// A server that does this with every client.
fn serve(each: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, each) = (socket.unwrap(), Arc::clone(&each));
            thread::spawn(move || each(socket));
        }
    });
    Peer::at(address)
}

fn fin(socket: TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let mut socket = socket;
    let _ = socket.read(&mut [0; 1024]);
}

/// What is asked for, and what must come of it.
struct Case {
    name: &'static str,
    args: Vec<String>,
    seconds: u64,
    library: &'static str,
    probed: &'static str,
    code: i32,
}

impl Case {
    fn new(id: &'static str, code: i32) -> Self {
        Self {
            name: NAME,
            args: Vec::new(),
            seconds: 5,
            library: id,
            probed: id,
            code,
        }
    }

    fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    fn args(mut self, args: &[&str]) -> Self {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self
    }

    /// A probe knows better what the server lacks than an alert says.
    fn probed(mut self, id: &'static str) -> Self {
        self.probed = id;
        self
    }

    fn seconds(mut self, seconds: u64) -> Self {
        self.seconds = seconds;
        self
    }
}

impl Fixture {
    /// The id that the library gives, through its blocking stream.
    fn library(&self, peer: &Peer, case: &Case) -> Option<&'static str> {
        let mut builder = ClientContext::builder()
            .trust(TrustAnchors::empty().with_file(&self.ca).unwrap())
            .timeouts(Timeouts::all(Duration::from_secs(case.seconds)));
        let mut args = case.args.iter();
        let (mut chain, mut key) = (None, None);
        while let (Some(flag), Some(value)) = (args.next(), args.next()) {
            builder = match flag.as_str() {
                "--crl" => {
                    builder.revocation_lists(RevocationLists::none().with_file(value).unwrap())
                }
                "--pin" => builder.pin(value.parse::<SpkiSha256>().unwrap()),
                "--cert" => {
                    chain = Some(value);
                    builder
                }
                "--key" => {
                    key = Some(value);
                    builder
                }
                other => panic!("{other}"),
            };
        }
        if let (Some(chain), Some(key)) = (chain, key) {
            let identity = match Identity::from_files(chain, key, Passphrase::none()) {
                Ok(identity) => identity,
                Err(error) => return Some(handfast::Error::from(error).explain().id),
            };
            builder = builder.identity(identity);
        }
        let context = builder.alpn(["h2", "http/1.1"]).build().unwrap();
        let Ok(socket) = TcpStream::connect(peer.address) else {
            let refused = handfast_dial::connect(&context, &peer.address.to_string());
            return refused.err().map(|error| error.explain().id);
        };
        match context.secure(case.name, socket) {
            Err(failure) => Some(failure.error.explain().id),
            // In TLS 1.3 a client learns of its certificate's refusal only when it reads.
            Ok(mut stream) => match stream.read_some(&mut [0; 1024]) {
                Err(error)
                    if matches!(error.cause(), Cause::Network(NetworkCause::TimedOut { .. })) =>
                {
                    None
                }
                Err(error) => Some(error.explain().id),
                Ok(_) => None,
            },
        }
    }

    /// Asks the library and the three commands, and compares. What `get` says, without the port.
    fn check(&self, what: &str, peer: &Peer, case: &Case) -> String {
        let port = peer.address.port();
        let seconds = case.seconds.to_string();
        assert_eq!(
            self.library(peer, case),
            Some(case.library),
            "library: {what}"
        );

        let mut args = case.args.clone();
        args.extend([
            "--connect-timeout".to_owned(),
            seconds.clone(),
            "--resolve".to_owned(),
            format!("{}:{port}:{}", case.name, peer.address.ip()),
            format!("https://{}:{port}/", case.name),
        ]);
        let got = self.run("get", &args);
        assert!(
            got.err().contains(&format!("[{}]", case.probed)),
            "get: {what}: {} {got}",
            case.probed
        );
        assert_eq!(got.code, Some(case.code), "get: {what} {got}");

        let mut args = case.args.clone();
        args.extend([
            "--connect-timeout".to_owned(),
            seconds.clone(),
            "--servername".to_owned(),
            case.name.to_owned(),
            "--alpn".to_owned(),
            "h2,http/1.1".to_owned(),
            peer.address.to_string(),
        ]);
        let connected = self.run("connect", &args);
        assert!(
            connected.err().contains(&format!("[{}]", case.probed)),
            "connect: {what}: {} {connected}",
            case.probed
        );
        assert_eq!(
            connected.code,
            Some(case.code),
            "connect: {what} {connected}"
        );

        let mut args = case.args.clone();
        args.extend([
            "--json".to_owned(),
            "--timeout".to_owned(),
            seconds,
            "--connect-to".to_owned(),
            peer.address.to_string(),
            case.name.to_owned(),
        ]);
        let inspected = self.run("inspect", &args);
        assert_eq!(
            inspected.code,
            Some(case.code),
            "inspect: {what} {inspected}"
        );
        // Our own mistakes end the program before there is anything to report.
        if inspected.stdout.is_empty() {
            let id = format!("[{}]", case.probed);
            assert!(inspected.err().contains(&id), "inspect: {what} {inspected}");
            return got.err();
        }
        let document: Value = serde_json::from_slice(&inspected.stdout).unwrap();
        let found = &document["inspected"][0];
        assert_eq!(
            found["failure"]["id"], case.probed,
            "inspect: {what} {found:#}"
        );
        assert!(
            !found["failure"]["what"]
                .to_string()
                .contains("an internal error"),
            "{what} {found:#}"
        );
        got.err().replace(&port.to_string(), "PORT")
    }
}
