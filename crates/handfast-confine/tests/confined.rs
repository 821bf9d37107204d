//! What a confined process can do, and what it cannot, whatever it tries: each attempt is made by a thread that begins after the
//! confinement, as a server's threads do, in a process of its own, because there is no way back.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use handfast_confine::{Account, ConfineError, Confinement, Enforcement};
use handfast_testbed::skipped;

/// Where the attempts are made; its presence says that this is the process to be confined.
const PLACE: &str = "HANDFAST_CONFINE_TEST_PLACE";
const SCENARIO: &str = "HANDFAST_CONFINE_TEST_SCENARIO";

fn main() {
    match (env::var_os(PLACE), env::var(SCENARIO)) {
        (Some(place), Ok(scenario)) => confined(Path::new(&place), &scenario),
        _ => tests(),
    }
}

fn tests() {
    let all: [(&str, fn()); 6] = [
        (
            "a_confined_process_can_do_what_it_is_for_and_nothing_else",
            a_confined_process_can_do_what_it_is_for_and_nothing_else,
        ),
        (
            "a_process_that_listens_for_another_can_do_nothing_else",
            a_process_that_listens_for_another_can_do_nothing_else,
        ),
        (
            "a_process_with_several_threads_is_not_confined_in_part",
            a_process_with_several_threads_is_not_confined_in_part,
        ),
        (
            "another_user_s_process_cannot_go_back",
            another_user_s_process_cannot_go_back,
        ),
        (
            "a_path_that_is_not_there_is_told",
            a_path_that_is_not_there_is_told,
        ),
        (
            "a_pipe_that_is_kept_can_be_read",
            a_pipe_that_is_kept_can_be_read,
        ),
    ];
    for (name, test) in all {
        println!("test {name} ...");
        test();
        println!("test {name} ... ok");
    }
}

/// A directory with what is to be served, what is to be written, and what is neither.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    for directory in ["served", "served/sub", "written", "beside"] {
        fs::create_dir(at(directory)).unwrap();
    }
    // For another user as well.
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(at("written"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(at("served/sub/page"), "page").unwrap();
    fs::write(at("beside/secret"), "secret").unwrap();
    fs::write(at("opened"), "opened before").unwrap();
    symlink(at("beside/secret"), at("served/link")).unwrap();
    symlink("/etc/passwd", at("served/passwd")).unwrap();
    place
}

fn start(place: &Path, scenario: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .env(PLACE, place)
        .env(SCENARIO, scenario)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
}

fn a_confined_process_can_do_what_it_is_for_and_nothing_else() {
    let place = place();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(
        place.path().join("port"),
        tcp.local_addr().unwrap().port().to_string(),
    )
    .unwrap();
    let _unix = UnixListener::bind(place.path().join("socket")).unwrap();
    let _datagrams = UnixDatagram::bind(place.path().join("journal")).unwrap();
    let mut child = start(place.path(), "attempts");
    let mut told = lines(&mut child);
    let listening = told.next().unwrap();
    if listening.starts_with("unsupported") {
        skipped::note(&format!(
            "this system cannot confine processes: {listening}"
        ));
        return;
    }
    fs::write(place.path().join("served/later"), "later").unwrap();
    // A client, who is served by the listener from before.
    let port: u16 = listening.parse().unwrap();
    let mut reply = String::new();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "served");
    let results: Vec<_> = told.collect();
    assert!(child.wait().unwrap().success(), "{results:?}");
    for (attempt, expected) in EXPECTED {
        let found = results.iter().find_map(|line| {
            let (name, result) = line.split_once(": ")?;
            (name == *attempt).then_some(result)
        });
        let found = found.unwrap_or_else(|| panic!("{attempt} was not tried: {results:?}"));
        let allowed = found == "done";
        assert_eq!(allowed, *expected, "{attempt}: {found}");
    }
    assert_eq!(results.len(), EXPECTED.len());
}

/// What is tried, and whether it may succeed.
const EXPECTED: &[(&str, bool)] = &[
    ("reads what is served", true),
    ("lists what is served", true),
    ("reads on in a file that was open", true),
    ("reads what was made later", true),
    ("writes a log", true),
    ("renames and removes a log", true),
    ("begins a thread", true),
    ("sends a local datagram", true),
    ("reads beside", false),
    ("lists beside", false),
    ("reads by a link", false),
    ("reads /etc/passwd by a link", false),
    ("reads /etc/passwd", false),
    ("reads /proc/self/environ", false),
    ("writes what is served", false),
    ("makes a file beside", false),
    ("moves a secret into what is served", false),
    ("executes a program", false),
    ("executes a program of its own", false),
    ("connects by TCP", false),
    ("connects by a Unix socket", false),
    ("listens by TCP", false),
    ("opens a UDP socket", false),
];

fn attempts(place: &Path, mut opened: File) -> Vec<(&'static str, io::Result<()>)> {
    let at = |name: &str| place.join(name);
    let port = || -> io::Result<u16> {
        fs::read_to_string(at("port"))?
            .parse()
            .map_err(io::Error::other)
    };
    let mut rest = String::new();
    vec![
        (
            "reads what is served",
            fs::read(at("served/sub/page")).map(drop),
        ),
        ("lists what is served", fs::read_dir(at("served")).map(drop)),
        (
            "reads on in a file that was open",
            opened.read_to_string(&mut rest).map(drop),
        ),
        (
            "reads what was made later",
            fs::read(at("served/later")).map(drop),
        ),
        ("writes a log", fs::write(at("written/log"), "line\n")),
        ("renames and removes a log", {
            fs::rename(at("written/log"), at("written/log.1"))
                .and_then(|()| fs::remove_file(at("written/log.1")))
        }),
        (
            "begins a thread",
            thread::Builder::new().spawn(|| ()).map(drop),
        ),
        ("sends a local datagram", {
            UnixDatagram::unbound()
                .and_then(|socket| socket.send_to(b"x", at("journal")))
                .map(drop)
        }),
        ("reads beside", fs::read(at("beside/secret")).map(drop)),
        ("lists beside", fs::read_dir(at("beside")).map(drop)),
        ("reads by a link", fs::read(at("served/link")).map(drop)),
        (
            "reads /etc/passwd by a link",
            fs::read(at("served/passwd")).map(drop),
        ),
        ("reads /etc/passwd", fs::read("/etc/passwd").map(drop)),
        (
            "reads /proc/self/environ",
            fs::read("/proc/self/environ").map(drop),
        ),
        ("writes what is served", {
            OpenOptions::new()
                .write(true)
                .open(at("served/sub/page"))
                .map(drop)
        }),
        ("makes a file beside", fs::write(at("beside/new"), "x")),
        (
            "moves a secret into what is served",
            fs::rename(at("beside/secret"), at("served/secret")),
        ),
        (
            "executes a program",
            Command::new("/bin/true").status().map(drop),
        ),
        ("executes a program of its own", {
            fs::write(at("written/program"), "#!/bin/sh\n")
                .and_then(|()| {
                    fs::set_permissions(at("written/program"), fs::Permissions::from_mode(0o755))
                })
                .and_then(|()| Command::new(at("written/program")).status())
                .map(drop)
        }),
        (
            "connects by TCP",
            port()
                .and_then(|port| TcpStream::connect(("127.0.0.1", port)))
                .map(drop),
        ),
        (
            "connects by a Unix socket",
            UnixStream::connect(at("socket")).map(drop),
        ),
        ("listens by TCP", TcpListener::bind("127.0.0.1:0").map(drop)),
        (
            "opens a UDP socket",
            UdpSocket::bind("127.0.0.1:0").map(drop),
        ),
    ]
}

/// The process to be confined.
fn confined(place: &Path, scenario: &str) {
    let at = |name: &str| place.join(name);
    let confinement = Confinement::new()
        .read(at("served"))
        // Where the port is told.
        .read(at("port"))
        .write(at("written"));
    match scenario {
        "attempts" => {
            let opened = File::open(at("opened")).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let confined = confinement.apply().unwrap();
            if [confined.files, confined.system_calls].contains(&Enforcement::Unsupported) {
                println!("unsupported: {confined}");
                return;
            }
            println!("{}", listener.local_addr().unwrap().port());
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(b"served").unwrap();
            drop(client);
            let place = place.to_owned();
            let handler = thread::spawn(move || attempts(&place, opened));
            for (attempt, result) in handler.join().unwrap() {
                match result {
                    Ok(()) => println!("{attempt}: done"),
                    Err(error) => println!("{attempt}: {error}"),
                }
            }
        }
        "listening" => {
            let listening = Confinement::listening()
                .read(at("served"))
                .read(at("port"))
                .sockets(at("written"));
            let confined = listening.apply().unwrap();
            if !confined.is_complete() {
                println!("unsupported: {confined}");
                return;
            }
            println!("{confined}");
            for (attempt, result) in attempts_of_a_listening_process(place) {
                match result {
                    Ok(()) => println!("{attempt}: done"),
                    Err(error) => println!("{attempt}: {error}"),
                }
            }
        }
        "several threads" => {
            let (held, gate) = std::sync::mpsc::channel::<()>();
            let other = thread::spawn(move || gate.recv().is_err());
            let refused = confinement.apply();
            assert!(
                matches!(refused, Err(ConfineError::SeveralThreads(2))),
                "{refused:?}"
            );
            assert!(fs::read("/etc/passwd").is_ok(), "nothing is in force");
            drop(held);
            assert!(other.join().unwrap());
            let (held, gate) = std::sync::mpsc::channel::<()>();
            let harmless = thread::Builder::new().name("harmless".into());
            let harmless = harmless.spawn(move || gate.recv().is_err()).unwrap();
            let confinement = confinement.with_harmless_threads("harmless");
            // Its name is set by the thread itself.
            while matches!(confinement.apply(), Err(ConfineError::SeveralThreads(_))) {
                thread::yield_now();
            }
            assert!(fs::read("/etc/passwd").is_err());
            drop(held);
            assert!(harmless.join().unwrap());
            println!("done");
        }
        "another user" => {
            let account = Account::find("nobody").unwrap();
            let confined = confinement.user(account).apply().unwrap();
            assert!(
                confined.to_string().ends_with("; user nobody"),
                "{confined}"
            );
            fs::write(at("written/mine"), "x").unwrap();
            println!("done");
        }
        "a pipe" => {
            let (mut reader, mut writer) = io::pipe().unwrap();
            writer.write_all(b"piped").unwrap();
            drop(writer);
            let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
            let confinement = confinement.read(&path).read("/dev/null");
            let confined = confinement.apply().unwrap();
            let mut text = String::new();
            File::open(&path)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "piped");
            reader.read_to_string(&mut text).unwrap();
            assert!(File::open("/dev/null").is_ok());
            let is_confined = confined.files != Enforcement::Unsupported;
            assert_eq!(File::open("/etc/passwd").is_err(), is_confined);
            println!("done");
        }
        other => panic!("{other}"),
    }
}

/// What one that listens for another process tries, and whether it may succeed.
const EXPECTED_OF_LISTENING: &[(&str, bool)] = &[
    ("reads what was kept", true),
    ("listens by TCP", true),
    ("listens at a privileged port", true),
    ("listens by a Unix socket", true),
    ("replaces a Unix socket", true),
    ("listens by a Unix socket elsewhere", false),
    ("reads beside", false),
    ("reads /etc/shadow", false),
    ("writes beside the sockets", false),
    ("writes what it reads", false),
    ("removes a file elsewhere", false),
    ("renames a file", false),
    ("makes a file its own", false),
    ("opens a file for others", false),
    ("sends a signal", false),
    ("becomes another user", false),
    ("has other capabilities", false),
    ("connects by TCP", false),
    ("opens a UDP socket", false),
    ("sends a local datagram", false),
    ("executes a program", false),
    ("begins a process", false),
];

fn attempts_of_a_listening_process(place: &Path) -> Vec<(&'static str, io::Result<()>)> {
    use rustix::process::{getppid, test_kill_process};
    use rustix::thread::{CapabilitySet, capabilities};
    let at = |name: &str| place.join(name);
    let port = fs::read_to_string(at("port")).map_err(io::Error::other);
    // Only root may, and has it still.
    let privileged = match Account::is_possible() {
        true => {
            let mut ports = 1..1024;
            let bound = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            match ports.any(bound) {
                true => Ok(()),
                false => Err(io::ErrorKind::PermissionDenied.into()),
            }
        }
        false => Ok(()),
    };
    let kept = CapabilitySet::NET_BIND_SERVICE | CapabilitySet::DAC_OVERRIDE;
    let others = match capabilities(None).unwrap().permitted & !kept {
        none if none.is_empty() => Err(io::Error::other("none")),
        _ => Ok(()),
    };
    let first = UnixListener::bind(at("written/listening"));
    vec![
        (
            "reads what was kept",
            fs::read(at("served/sub/page")).map(drop),
        ),
        ("listens by TCP", TcpListener::bind("127.0.0.1:0").map(drop)),
        ("listens at a privileged port", privileged),
        ("listens by a Unix socket", first.map(drop)),
        (
            "replaces a Unix socket",
            fs::remove_file(at("written/listening"))
                .and_then(|()| UnixListener::bind(at("written/listening")))
                .map(drop),
        ),
        (
            "listens by a Unix socket elsewhere",
            UnixListener::bind(at("beside/listening")).map(drop),
        ),
        ("reads beside", fs::read(at("beside/secret")).map(drop)),
        ("reads /etc/shadow", fs::read("/etc/shadow").map(drop)),
        (
            "writes beside the sockets",
            fs::write(at("written/file"), ""),
        ),
        (
            "writes what it reads",
            fs::write(at("served/sub/page"), "other"),
        ),
        (
            "removes a file elsewhere",
            fs::remove_file(at("beside/secret")),
        ),
        (
            "renames a file",
            fs::rename(at("beside/secret"), at("written/secret")),
        ),
        (
            "makes a file its own",
            std::os::unix::fs::chown(at("beside/secret"), Some(0), Some(0)),
        ),
        (
            "opens a file for others",
            fs::set_permissions(at("beside/secret"), fs::Permissions::from_mode(0o666)),
        ),
        (
            "sends a signal",
            test_kill_process(getppid().unwrap()).map_err(io::Error::from),
        ),
        (
            "becomes another user",
            match Account::is_possible() {
                true => {
                    nix::unistd::setuid(nix::unistd::Uid::from_raw(65534)).map_err(io::Error::from)
                }
                false => Err(io::Error::other("only root can")),
            },
        ),
        ("has other capabilities", others),
        (
            "connects by TCP",
            port.and_then(|port| TcpStream::connect(format!("127.0.0.1:{port}")))
                .map(drop),
        ),
        (
            "opens a UDP socket",
            UdpSocket::bind("127.0.0.1:0").map(drop),
        ),
        ("sends a local datagram", UnixDatagram::unbound().map(drop)),
        (
            "executes a program",
            Command::new("/bin/true").status().map(drop),
        ),
        (
            "begins a process",
            Command::new("/proc/self/exe").spawn().map(drop),
        ),
    ]
}

fn a_process_that_listens_for_another_can_do_nothing_else() {
    let place = place();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    fs::write(place.path().join("port"), port.to_string()).unwrap();
    let mut child = start(place.path(), "listening");
    let mut told = lines(&mut child);
    let first = told.next().unwrap();
    if first.starts_with("unsupported") {
        skipped::note(&format!("this system cannot confine processes: {first}"));
        return;
    }
    let told: Vec<_> = told.collect();
    assert!(child.wait().unwrap().success(), "{told:?}");
    for (attempt, expected) in EXPECTED_OF_LISTENING {
        let found = told.iter().find_map(|line| {
            let (name, result) = line.split_once(": ")?;
            (name == *attempt).then_some(result)
        });
        assert_eq!(
            found.map(|found| found == "done"),
            Some(*expected),
            "{attempt}: {found:?}"
        );
    }
    assert_eq!(told.len(), EXPECTED_OF_LISTENING.len());
    let mode = fs::metadata(place.path().join("beside/secret")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o644);
}

fn a_process_with_several_threads_is_not_confined_in_part() {
    let place = place();
    fs::write(place.path().join("port"), "").unwrap();
    let mut child = start(place.path(), "several threads");
    assert_eq!(lines(&mut child).collect::<Vec<_>>(), ["done"]);
}

fn a_pipe_that_is_kept_can_be_read() {
    let place = place();
    fs::write(place.path().join("port"), "").unwrap();
    let mut child = start(place.path(), "a pipe");
    assert_eq!(lines(&mut child).collect::<Vec<_>>(), ["done"]);
}

fn another_user_s_process_cannot_go_back() {
    if !Account::is_possible() {
        skipped::note("only root can become another user");
        return;
    }
    let place = place();
    fs::write(place.path().join("port"), "").unwrap();
    let mut child = start(place.path(), "another user");
    assert_eq!(lines(&mut child).collect::<Vec<_>>(), ["done"]);
    let made = fs::metadata(place.path().join("written/mine")).unwrap();
    let nobody = fs::read_to_string("/etc/passwd").unwrap();
    let nobody = nobody
        .lines()
        .find(|line| line.starts_with("nobody:"))
        .unwrap();
    let ids: Vec<_> = nobody.split(':').skip(2).take(2).collect();
    assert_eq!(ids, [made.uid().to_string(), made.gid().to_string()]);
    assert!(matches!(
        Account::find("no such user"),
        Err(ConfineError::NoAccount(_))
    ));
    assert!(matches!(
        Account::find("nobody:no such group"),
        Err(ConfineError::NoAccount(_))
    ));
    assert_eq!(
        Account::find("65533:65533").unwrap().to_string(),
        "65533:65533"
    );
}

fn a_path_that_is_not_there_is_told() {
    let path = PathBuf::from("/no/such/path");
    let refused = Confinement::new().read(&path).apply();
    match refused {
        Err(ConfineError::Path { path: told, source }) => {
            assert_eq!((told, source.kind()), (path, io::ErrorKind::NotFound));
        }
        // Nothing is opened where nothing is confined.
        Ok(confined) => assert_eq!(confined.files, Enforcement::Unsupported),
        Err(other) => panic!("{other}"),
    }
}
