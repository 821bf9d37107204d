//! STARTTLS with real servers: PostgreSQL's and a mail server's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use handfast_testbed::launch::{Running, free_address};
use handfast_testbed::peers;

use super::support::{PATIENCE, Talk, run};
use crate::common::Fixture;

/// As the user nobody if we are root: PostgreSQL refuses to run as root.
fn unprivileged(program: &Path) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// A file that only the server can read, since it is its key.
fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(65534), Some(65534)).unwrap();
    }
}

#[test]
fn postgresql_begins_tls_and_answers_under_it() {
    let Some(initdb) = peers::require("initdb") else {
        return;
    };
    let fixture = Fixture::new();
    give(fixture.directory(), 0o700);
    give(&fixture.key, 0o600);
    give(&fixture.chain, 0o644);
    let data = fixture.path("data");
    let made = unprivileged(&initdb)
        .args(["-A", "trust", "-U", "somebody", "--no-sync", "-D"])
        .arg(&data)
        .current_dir(fixture.directory())
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let port = free_address().port();
    let setting = |name: &str, value: &Path| format!("{name}={}", value.display());
    let mut command = unprivileged(&initdb.with_file_name("postgres"));
    command.arg("-D").arg(&data);
    for setting in [
        "ssl=on".to_owned(),
        setting("ssl_cert_file", &fixture.chain),
        setting("ssl_key_file", &fixture.key),
        setting("unix_socket_directories", fixture.directory()),
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "fsync=off".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    let mut server = Running::start(command.current_dir(fixture.directory()));
    let target = format!("127.0.0.1:{port}");
    let args = ["--starttls", "postgres", target.as_str()];
    let mut command = fixture.connect(args);
    // A StartupMessage of protocol 3.0 for this user and database, then Terminate.
    let mut startup = b"\0\0\0\0\0\x03\0\0user\0somebody\0database\0postgres\0\0".to_vec();
    startup[3] = startup.len().try_into().unwrap();
    startup.extend_from_slice(b"X\0\0\0\x04");
    let mut finished = run(&mut command, &startup);
    // It says nowhere but in a log that it listens.
    for _ in 0..400 {
        let not_yet = finished.code == Some(7) || finished.stderr.contains("starting up");
        if !not_yet && !finished.out().contains("starting up") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(25));
        finished = run(&mut command, &startup);
    }
    // PostgreSQL closes without close_notify; that it did is told, and its answer was passed on.
    assert!(
        finished.stderr.contains("* server: verified"),
        "{finished:?} {}",
        server.output()
    );
    assert!(finished.out().contains("server_version"), "{finished:?}");
    assert!(matches!(finished.code, Some(0 | 56)), "{finished:?}");

    // With TLS switched off it says so, and nothing is sent.
    // A killed one would leave its helpers behind for a moment, and they hold the data.
    let pid = rustix::process::Pid::from_raw(server.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    server.wait(PATIENCE).unwrap();
    let port = free_address().port();
    let mut command = unprivileged(&initdb.with_file_name("postgres"));
    command.arg("-D").arg(&data).args(["-c", "ssl=off", "-c"]);
    command.arg(setting("unix_socket_directories", fixture.directory()));
    command.args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        &format!("port={port}"),
    ]);
    let _server = Running::start(command.current_dir(fixture.directory()));
    let target = format!("127.0.0.1:{port}");
    let mut command = fixture.connect(["--starttls", "postgres", &target]);
    let finished = (0..400)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(25));
            run(&mut command, b"")
        })
        .find(|finished| finished.code != Some(7))
        .unwrap();
    finished.expect(64, &["starttls-not-offered", "PostgreSQL"]);
}

/// aiosmtpd, which is not of the standard library.
const MAIL_SERVER: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.smtp import SMTP
from aiosmtpd.handlers import Sink
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
async def main():
    make = lambda: SMTP(Sink(), tls_context=context, require_starttls=True, hostname="mail.example")
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

#[test]
fn a_real_mail_server_begins_tls_and_takes_a_message() {
    let Some(python) = peers::require_python_with("aiosmtpd") else {
        return;
    };
    let fixture = Fixture::new();
    let script = fixture.path("mail.py");
    fs::write(&script, MAIL_SERVER).unwrap();
    let mut command = Command::new(python);
    command.arg(script).arg(&fixture.chain).arg(&fixture.key);
    let server = Running::start(&mut command);
    let said = server.wait_for("port ", PATIENCE).unwrap();
    let port = said.rsplit(' ').next().unwrap();
    let target = format!("localhost:{port}");
    let mut talk = Talk::start(&mut fixture.connect(["--crlf", "--starttls", "smtp", &target]));
    talk.told("verified for localhost");
    for (said, answer) in [
        ("EHLO client.example\n", "250 HELP"),
        ("MAIL FROM:<a@client.example>\n", "250 OK"),
        ("RCPT TO:<b@mail.example>\n", "250 OK"),
        ("DATA\n", "354 "),
        ("Subject: x\n\nhello\n.\n", "250 OK"),
        ("QUIT\n", "221 "),
    ] {
        talk.write(said);
        talk.heard(answer);
    }
    let finished = talk.finish();
    assert!(!finished.out().contains("STARTTLS"), "{finished:?}");
}
