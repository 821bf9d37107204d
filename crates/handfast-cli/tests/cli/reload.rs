//! `handfast serve` while its files change: certificates, keys, CAs, configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handfast::{ClientContext, Stream, TrustAnchors};
use handfast_testbed::launch::{Program, Running};
use handfast_testbed::pki::{Issued, Pki};

const PATIENCE: Duration = Duration::from_secs(30);

/// A directory with a configuration, and a PKI for its certificates.
struct Place {
    base: tempfile::TempDir,
    pki: Pki,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        for (name, content) in [("public", "first"), ("other", "second")] {
            fs::create_dir(base.path().join(name)).unwrap();
            fs::write(base.path().join(name).join("f.txt"), content).unwrap();
        }
        Self {
            base,
            pki: Pki::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn issued(&self) -> Issued {
        self.pki.server(&["localhost", "a.example", "b.example"])
    }

    /// A directory with `chain.pem` and `key.pem`.
    fn certificate(&self, directory: &str) -> PathBuf {
        let issued = self.issued();
        let path = self.path(directory);
        fs::create_dir(&path).unwrap();
        let files = issued.write(&path, "server", &[]);
        fs::rename(files.chain_pem, path.join("chain.pem")).unwrap();
        fs::rename(files.key_pem, path.join("key.pem")).unwrap();
        path
    }

    fn configure(&self, text: &str) {
        // As an editor would: whole or not there.
        let beside = self.path("handfast.toml.new");
        let listener = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
        fs::write(&beside, format!("{text}\n{listener}")).unwrap();
        fs::rename(beside, self.path("handfast.toml")).unwrap();
    }

    fn serve(&self, more: &[&str]) -> Serving {
        let running = Program::at(env!("CARGO_BIN_EXE_handfast"))
            .args(["serve", "--config"])
            .arg(self.path("handfast.toml"))
            .args(more)
            .env("HANDFAST_CA_DIR", self.path("ca"))
            .start();
        let port = running.wait_until(PATIENCE, |said| {
            let (_, rest) = said.split_once("listening on https://127.0.0.1:")?;
            rest.split_once("/\n")?.0.parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("{}", running.output()));
        Serving { running, port }
    }

    fn client(&self) -> ClientContext {
        let anchors = TrustAnchors::empty().with_pem(self.pki.root.cert_pem().as_bytes());
        ClientContext::builder()
            .trust(anchors.unwrap())
            .build()
            .unwrap()
    }
}

struct Serving {
    running: Running,
    port: u16,
}

impl Serving {
    fn hang_up(&self) {
        let status = Command::new("kill")
            .args(["-HUP", &self.running.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn count(&self, text: &str) -> usize {
        self.running.output().matches(text).count()
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        self.running.expect_output(text, PATIENCE);
    }

    #[track_caller]
    fn wait_for_count(&self, text: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(text) < count {
            assert!(Instant::now() < deadline, "{}", self.running.output());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn connect(&self, client: &ClientContext, name: &str) -> Stream<std::net::TcpStream> {
        let socket = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = client.secure(name, socket);
        stream.unwrap_or_else(|failure| panic!("{failure:?}: {}", self.running.output()))
    }

    /// The body for `/f.txt` at this name, and the serial number of the certificate that was shown.
    fn get(&self, client: &ClientContext, name: &str) -> (String, String) {
        let mut stream = self.connect(client, name);
        let serial = serial(&stream);
        (ask(&mut stream, name), serial)
    }
}

fn serial(stream: &Stream<std::net::TcpStream>) -> String {
    let report = stream.report();
    report.peer.as_ref().unwrap().facts().serial.clone()
}

/// The body of the reply, with the status before it unless that is 200.
fn ask(stream: &mut Stream<std::net::TcpStream>, name: &str) -> String {
    use std::io::{Read as _, Write as _};
    write!(stream, "GET /f.txt HTTP/1.1\r\nHost: {name}\r\n\r\n").unwrap();
    stream.flush().unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")?
                    .parse()
                    .ok()
            });
            if length.is_some_and(|length: usize| body.len() >= length) {
                let status = head.split(' ').nth(1).unwrap();
                return match status {
                    "200" => body.to_owned(),
                    _ => format!("{status} {body}"),
                };
            }
        }
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{text}");
        received.extend_from_slice(&buffer[..count]);
    }
}

/// As container platforms and renewal programs do it: the link is replaced as a whole.
fn switch(link: &Path, to: &Path) {
    let beside = link.with_extension("tmp");
    std::os::unix::fs::symlink(to, &beside).unwrap();
    fs::rename(beside, link).unwrap();
}

const ONE_SITE: &str = "[[site]]\nroot = \"public\"\n\
    [[site.certificate]]\nchain = \"live/chain.pem\"\nkey = \"live/key.pem\"\n";

#[test]
fn a_switched_link_brings_the_new_certificate_and_running_connections_live_on() {
    let place = Place::new();
    let (one, two) = (place.certificate("one"), place.certificate("two"));
    switch(&place.path("data"), &one);
    // A link to a link, as where secrets are mounted.
    switch(&place.path("live"), &place.path("data"));
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let client = place.client();
    let mut kept = server.connect(&client, "localhost");
    let before = serial(&kept);
    switch(&place.path("data"), &two);
    server.wait_for("certificate for localhost: in use now");
    let (body, after) = server.get(&place.client(), "localhost");
    assert_eq!(body, "first");
    assert_ne!(after, before);
    assert_eq!(ask(&mut kept, "localhost"), "first");
}

#[test]
fn a_key_that_does_not_fit_yet_changes_nothing_and_is_told_once() {
    let place = Place::new();
    let (live, two) = (place.certificate("live"), place.certificate("two"));
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let (_, before) = server.get(&place.client(), "localhost");
    // Half of a renewal, for longer than it should take.
    fs::copy(two.join("chain.pem"), live.join("chain.pem")).unwrap();
    server.wait_for("not reloaded");
    server.wait_for("handfast.toml:5:7");
    assert_eq!(server.get(&place.client(), "localhost").1, before);
    // SIGHUP tries again at once, and says so again.
    server.hang_up();
    server.wait_for_count("not reloaded", 2);
    assert_eq!(server.get(&place.client(), "localhost").1, before);
    // The other half.
    fs::copy(two.join("key.pem"), live.join("key.pem")).unwrap();
    server.wait_for("in use now");
    assert_ne!(server.get(&place.client(), "localhost").1, before);
    assert_eq!(server.count("not reloaded"), 2);
}

#[test]
fn a_broken_configuration_changes_nothing_and_the_next_good_one_counts() {
    let place = Place::new();
    place.certificate("live");
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let client = place.client();
    place.configure("[[site]]\nroot = \"public\"\nlistng = true\n");
    server.wait_for("unknown key `listng`");
    server.wait_for("write `listing`");
    assert_eq!(server.get(&client, "localhost").0, "first");
    // A directory that does not exist yet.
    place.configure(&ONE_SITE.replace("public", "later"));
    server.wait_for("directory");
    assert_eq!(server.get(&client, "localhost").0, "first");
    place.configure(&format!(
        "{ONE_SITE}[[site]]\nnames = [\"a.example\"]\nroot = \"other\"\n\
         [[site.certificate]]\nchain = \"live/chain.pem\"\nkey = \"live/key.pem\"\n"
    ));
    server.wait_for("the configuration in force has changed");
    assert_eq!(server.get(&client, "localhost").0, "first");
    assert_eq!(server.get(&client, "a.example").0, "second");
    // What cannot change while it runs is said.
    place.configure(&format!("threads = 1\nclose = \"send\"\n{ONE_SITE}"));
    server.wait_for("threads, close changed: this takes effect with the next start");
}

/// Its place, its format and the audit file; no request and no line is lost, and what cannot be written changes nothing.
#[test]
fn a_changed_common_log_counts_from_the_reload_on() {
    let place = Place::new();
    place.certificate("live");
    fs::create_dir(place.path("logs")).unwrap();
    let configure = |log: &str| place.configure(&format!("[log]\n{log}\n{ONE_SITE}"));
    let wait_for_lines = |name: &Path, count: usize| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(name).unwrap_or_default();
            if text.lines().count() >= count {
                return text;
            }
            assert!(Instant::now() < deadline, "{}: {text}", name.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    configure("to = \"logs/one.log\"");
    let server = place.serve(&[]);
    let client = place.client();
    let mut kept = server.connect(&client, "localhost");
    assert_eq!(ask(&mut kept, "localhost"), "first");
    let one = wait_for_lines(&place.path("logs/one.log"), 1);
    assert!(!one.starts_with('{'), "{one}");

    configure("to = \"logs/two.log\"\nformat = \"json\"\naudit = \"logs/audit.log\"");
    server.wait_for_count("the configuration in force has changed", 1);
    // Also of a connection from before.
    assert_eq!(ask(&mut kept, "localhost"), "first");
    let anchors = TrustAnchors::empty().with_pem(Pki::new().root.cert_pem().as_bytes());
    let distrusting = ClientContext::builder().trust(anchors.unwrap());
    let distrusting = distrusting.build().unwrap();
    let socket = std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    assert!(distrusting.secure("localhost", socket).is_err());
    let two = wait_for_lines(&place.path("logs/two.log"), 2);
    assert!(two.lines().all(|line| line.starts_with('{')), "{two}");
    assert!(two.contains("\"/f.txt\""), "{two}");
    wait_for_lines(&place.path("logs/audit.log"), 1);
    assert_eq!(wait_for_lines(&place.path("logs/one.log"), 1), one);

    configure("to = \"nowhere/three.log\"");
    server.wait_for("nowhere/three.log cannot be written");
    assert_eq!(ask(&mut kept, "localhost"), "first");
    wait_for_lines(&place.path("logs/two.log"), 3);

    configure("to = \"stderr\"");
    server.wait_for_count("the configuration in force has changed", 2);
    assert_eq!(ask(&mut kept, "localhost"), "first");
    server.wait_for("GET /f.txt");
    assert!(!server.running.output().contains("with the next start"));
    assert_eq!(
        wait_for_lines(&place.path("logs/two.log"), 3)
            .lines()
            .count(),
        3
    );
}

/// In the usual place, where the confined server itself may not write.
#[test]
fn a_log_that_a_reload_adds_is_opened_where_logs_are_on_this_system() {
    let Ok(logs) = tempfile::tempdir_in("/var/log") else {
        handfast_testbed::skipped::note("this user may not create directories in /var/log");
        return;
    };
    let place = Place::new();
    place.certificate("live");
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let client = place.client();
    let log = logs.path().join("access.log");
    fs::write(&log, "torn").unwrap();
    place.configure(&format!("[log]\nto = \"{}\"\n{ONE_SITE}", log.display()));
    server.wait_for("the configuration in force has changed");
    assert_eq!(server.get(&client, "localhost").0, "first");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&log).unwrap();
        if text.contains("GET /f.txt") {
            assert!(text.starts_with("torn\n"), "{text}");
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{text}: {}",
            server.running.output()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn tickets_survive_a_reload() {
    let place = Place::new();
    let (one, two) = (place.certificate("one"), place.certificate("two"));
    switch(&place.path("live"), &one);
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let client = place.client();
    assert_eq!(server.get(&client, "localhost").0, "first");
    switch(&place.path("live"), &two);
    server.wait_for("in use now");
    let mut stream = server.connect(&client, "localhost");
    assert!(stream.report().resumed);
    assert_eq!(ask(&mut stream, "localhost"), "first");
}

/// The local authority issues another certificate when the one in use is gone or old.
#[test]
fn the_certificate_of_the_local_authority_is_made_again() {
    let place = Place::new();
    place.configure("[[site]]\nroot = \"public\"\n");
    let server = place.serve(&[]);
    let certificates = place.path("ca/certs");
    for entry in fs::read_dir(&certificates).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    server.hang_up();
    server.wait_for("certificate for localhost: in use now");
    let anchors = TrustAnchors::empty().with_file(place.path("ca/ca.pem"));
    let client = ClientContext::builder().trust(anchors.unwrap());
    let client = client.build().unwrap();
    assert_eq!(server.get(&client, "localhost").0, "first");
    // With nothing to renew, nothing is.
    server.hang_up();
    server.wait_for_count("reloaded\n", 2);
    assert_eq!(server.count("in use now"), 1);
}

/// A site that demands certificates from now on is not served over connections that began without.
#[test]
fn clients_have_to_show_certificates_from_the_reload_on() {
    let place = Place::new();
    place.certificate("live");
    fs::write(place.path("clients.pem"), place.pki.root.cert_pem()).unwrap();
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let client = place.client();
    let mut kept = server.connect(&client, "localhost");
    assert_eq!(ask(&mut kept, "localhost"), "first");
    place.configure(&format!(
        "{ONE_SITE}[site.client_auth]\nca = \"clients.pem\"\n"
    ));
    server.wait_for("the configuration in force has changed");
    let refused = ask(&mut kept, "localhost");
    assert!(refused.starts_with("403"), "{refused}");
}

/// Which addresses this machine has cannot be tried once the process is confined.
#[test]
fn both_addresses_of_localhost_stay_the_same_listener() {
    let place = Place::new();
    fs::write(place.path("handfast.toml"), "[[site]]\nroot = \"public\"\n").unwrap();
    // Of both addresses, so none that the system chooses.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let server = place.serve(&["-p", &port]);
    server.hang_up();
    server.wait_for("reloaded\n");
    assert_eq!(server.count("changed"), 0, "{}", server.running.output());
}

/// A pipe is empty when it is read again, and opening it blocks until a process writes to it.
#[test]
fn what_was_read_from_a_pipe_is_kept_and_no_pipe_is_opened_later() {
    let place = Place::new();
    place.certificate("live");
    let pipes = ["users", "clients", "later"].map(|name| place.path(name));
    for pipe in &pipes {
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    let contents = [
        "ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n".to_owned(),
        place.pki.root.cert_pem(),
    ];
    let site = |users: &str| {
        format!(
            "{ONE_SITE}[[site.basic_auth]]\nfile = \"{users}\"\n\
             [site.client_auth]\ndemand = \"optional\"\nca = \"clients\"\n"
        )
    };
    place.configure(&site("users"));
    let server = std::thread::scope(|scope| {
        for (pipe, content) in pipes.iter().zip(contents) {
            scope.spawn(move || fs::write(pipe, content).unwrap());
        }
        place.serve(&[])
    });
    server.hang_up();
    server.wait_for("reloaded\n");
    assert_eq!(
        server.count("not reloaded"),
        0,
        "{}",
        server.running.output()
    );
    let body = server.get(&place.client(), "localhost").0;
    assert!(body.starts_with("401"), "{body}");
    place.configure(&site("later"));
    server.wait_for("not reloaded");
    server.wait_for("such are read at the start only: give a file, or restart");
    // Opening it for writing would block, too.
    place.configure(&format!("[tls]\nkey_log = \"later\"\n{}", site("users")));
    server.wait_for_count("not reloaded", 2);
    // It goes on, and with what it has.
    place.configure(&format!("grace = \"1s\"\n{}", site("users")));
    server.wait_for("the configuration in force has changed");
}

#[test]
fn uploads_that_run_count_after_a_reload() {
    use std::io::{Read as _, Write as _};
    let place = Place::new();
    place.certificate("live");
    fs::create_dir(place.path("up")).unwrap();
    place.configure(&format!(
        "{ONE_SITE}[[site.upload]]\ndirectory = \"up\"\nuploads_max = 1\n"
    ));
    let server = place.serve(&[]);
    let client = place.client();
    let put = |name: &str| {
        let mut stream = server.connect(&client, "localhost");
        write!(stream, "PUT /upload/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n").unwrap();
        stream.flush().unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, String::from_utf8_lossy(&status[9..]).into_owned())
    };
    let (_running, status) = put("one");
    assert_eq!(status, "100");
    server.hang_up();
    server.wait_for("reloaded\n");
    assert_eq!(put("two").1, "503");
}

/// Certificates, keys and configuration are replaced again and again, while clients make connections and requests.
#[test]
fn no_connection_is_refused_reset_or_cut_by_a_thousand_reloads() {
    const RELOADS: usize = 1_000;
    /// As long as the test may take; fewer reloads are counted on a slow machine.
    const BUDGET: Duration = Duration::from_secs(20);
    let place = Place::new();
    let certificates = [place.certificate("one"), place.certificate("two")];
    switch(&place.path("live"), &certificates[0]);
    place.configure(ONE_SITE);
    let server = place.serve(&[]);
    let (done, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (connections, longest_ms) = (AtomicUsize::new(0), AtomicU64::new(0));
    let shown = std::sync::Mutex::new(std::collections::HashSet::new());
    let reloads = std::thread::scope(|scope| {
        for number in 0..4 {
            let (server, place) = (&server, &place);
            let (done, requests, shown) = (&done, &requests, &shown);
            let (connections, longest_ms) = (&connections, &longest_ms);
            scope.spawn(move || {
                // Full handshakes and resumed ones.
                let client = place.client();
                while !done.load(Ordering::Relaxed) {
                    let client = match number % 2 {
                        0 => client.clone(),
                        _ => place.client(),
                    };
                    let began = Instant::now();
                    let mut stream = server.connect(&client, "localhost");
                    shown.lock().unwrap().insert(serial(&stream));
                    for _ in 0..4 {
                        assert_eq!(ask(&mut stream, "localhost"), "first");
                        requests.fetch_add(1, Ordering::Relaxed);
                    }
                    connections.fetch_add(1, Ordering::Relaxed);
                    let took = u64::try_from(began.elapsed().as_millis()).unwrap();
                    longest_ms.fetch_max(took, Ordering::Relaxed);
                }
            });
        }
        let began = Instant::now();
        let mut reloads = 0;
        while reloads < RELOADS && began.elapsed() < BUDGET {
            switch(&place.path("live"), &certificates[(reloads + 1) % 2]);
            server.hang_up();
            reloads += 1;
            server.wait_for_count("reloaded\n", reloads);
        }
        done.store(true, Ordering::Relaxed);
        reloads
    });
    assert!(reloads >= 50, "{reloads}");
    assert_eq!(shown.lock().unwrap().len(), 2);
    assert_eq!(server.count("not reloaded"), 0);
    let output = server.running.output();
    assert!(!output.contains("handshake failed"), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    println!(
        "{reloads} reloads, {} connections, {} requests, the longest exchange {} ms",
        connections.load(Ordering::Relaxed),
        requests.load(Ordering::Relaxed),
        longest_ms.load(Ordering::Relaxed)
    );
}
