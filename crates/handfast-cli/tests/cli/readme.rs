//! The README's commands, as they are typed there, one after the other, as a new user would.
//!
//! What a test may not do is changed on the way: the port is any that is free, a passphrase is given
//! where a user would be asked for it, and what reaches beyond this machine is left out.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const README: &str = include_str!("../../../../README.md");

/// Lines with one of these need another machine, or a program that may not be here, or change this machine.
const ELSEWHERE: [&str; 6] = [
    "mirror.example",
    "old.example",
    "mail.example",
    ".internal/",
    "jq ",
    "ca trust",
];

/// The ports in the README: the one that is taken without being asked for, and others.
const PORTS: [&str; 3] = ["8443", "8444", "8445"];

/// A reader who follows the README: a home, a directory to be in, the program on the path.
struct Reader {
    place: tempfile::TempDir,
    /// The servers that run: by the port of the README, and the one that they have.
    servers: Vec<(Child, &'static str, String)>,
}

impl Reader {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir_all(place.path().join("bin")).unwrap();
        fs::create_dir_all(place.path().join("work/public")).unwrap();
        fs::write(place.path().join("work/public/notes.txt"), "notes\n").unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_handfast"));
        std::os::unix::fs::symlink(program, place.path().join("bin/handfast")).unwrap();
        Self {
            place,
            servers: Vec::new(),
        }
    }

    fn work(&self) -> PathBuf {
        self.place.path().join("work")
    }

    fn shell(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", line])
            .current_dir(self.work())
            .env("HOME", self.place.path())
            .env(
                "PATH",
                format!("{}/bin:{path}", self.place.path().display()),
            )
            .env_remove("HANDFAST_CA_DIR")
            .env_remove("XDG_DATA_HOME")
            .env_remove("SSLKEYLOGFILE")
            .stdin(Stdio::null());
        shell
    }

    fn type_line(&mut self, line: &str) {
        if line.starts_with("handfast serve") {
            self.serve(line);
            return;
        }
        let mut line = line
            .replace("--encrypt-key", "--encrypt-key --pass pass:secret")
            .replace("--pass prompt", "--pass pass:secret");
        for (_, typed, port) in &self.servers {
            line = line.replace(&format!("localhost:{typed}"), &format!("localhost:{port}"));
        }
        let output = self.shell(&line).output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    }

    /// Starts a server, and gives the commands that it says reach it.
    fn serve(&mut self, line: &str) -> Vec<String> {
        let typed = PORTS.into_iter().find(|port| line.contains(port));
        let (typed, line) = match typed {
            Some(port) => (port, line.replace(port, "0")),
            None => (PORTS[0], format!("{line} --listen 127.0.0.1:0")),
        };
        let mut shell = self.shell(&format!("exec {line}"));
        let mut child = shell
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut said = said.lines().map_while(Result::ok);
        let port = said.find_map(|line| {
            let address = line.strip_prefix("listening on ")?.trim_end_matches('/');
            Some(address.rsplit_once(':')?.1.to_owned())
        });
        let port = port.expect("it says where it listens");
        self.servers.push((child, typed, port));
        // An empty line, the commands that reach it, an empty line.
        let commands = said.skip_while(|line| line.is_empty());
        commands
            .take_while(|line| !line.is_empty())
            .map(|line| line.trim().to_owned())
            .collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for (child, ..) in &mut self.servers {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn what_the_readme_says_to_type_works_as_typed() {
    let mut reader = Reader::new();
    let mut blocks = README.split("```console\n");
    blocks.next();
    let mut typed = 0;
    for block in blocks {
        let block = block.split("```").next().unwrap();
        for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            if !ELSEWHERE.iter().any(|part| line.contains(part)) {
                reader.type_line(line);
                typed += 1;
            }
        }
        // The commands that the server is shown to print.
        for line in block.lines().filter_map(|line| line.strip_prefix("  ")) {
            if line.starts_with("handfast get") || line.starts_with("curl ") && has_curl() {
                reader.type_line(line);
                typed += 1;
            }
        }
    }
    assert!(typed >= 10, "{typed} lines were found");
    assert!(reader.work().join("alice.pem").exists());
}

#[test]
fn the_commands_that_a_server_prints_work_with_a_certificate_of_ones_own_authority() {
    let mut reader = Reader::new();
    reader.type_line("handfast ca issue db.internal 127.0.0.1 --out 'with space'");
    let commands = reader.serve(
        "handfast serve ./public --cert 'with space/db.internal.pem' --key 'with space/db.internal.key'",
    );
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        if command.starts_with("handfast ") || has_curl() {
            reader.type_line(&command);
        }
    }
}

fn has_curl() -> bool {
    Command::new("curl")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
