//! `get` is killed (SIGKILL), at any point of a download and of an upload: nothing half ever has a final name, and
//! half of an upload is never taken for all of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{Ending, Identity, Passphrase, ReadOutcome, ServerContext};

use super::{PATIENCE, Place, Serving, content};

/// At how many points of each. `bench/reliability` asks for 200.
fn points() -> u32 {
    let asked = std::env::var("HANDFAST_KILL_POINTS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(16)
}

/// Runs it, kills it after this time unless it has ended, and gives whether it ended well by itself.
fn run_and_kill(command: &mut Command, after: Option<Duration>) -> bool {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    if let Some(after) = after {
        thread::sleep(after);
        let _ = child.kill();
    }
    child.wait().unwrap().success()
}

/// Points of time between the start and a little after the end, spread without pattern and alike in each run.
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    (0..points()).map(move |number| {
        // The golden ratio leaves gaps of about the same size, however many there are.
        let share = (f64::from(number) * 0.618_033_988_75).fract();
        whole.mul_f64(share * 1.1)
    })
}

fn get(place: &Place, version: &str, out: &Path, more: &[&str]) -> Command {
    let mut command = place.fixture.command("get");
    command
        .args(place.fixture.trust())
        .args([version, "--no-probe", "-o"])
        .arg(out)
        .args(more);
    command
}

#[test]
fn a_download_that_is_killed_anywhere_leaves_nothing_half_under_its_name() {
    let place = Place::new();
    let whole = content(8 << 20, 1);
    place.put("f", &whole);
    let server = place.serve(&["--quiet"]);
    let url = server.url("/f");
    let (mut before, mut after) = (0, 0);
    for version in ["--http1.1", "--http2"] {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        let began = Instant::now();
        assert!(run_and_kill(&mut get(&place, version, &out, &[&url]), None));
        let took = began.elapsed();
        for (number, moment) in moments(took).enumerate() {
            // Every second time there is an older one, which stays or is replaced by a whole one.
            let older = number % 2 == 1;
            let _ = fs::remove_file(&out);
            if older {
                fs::write(&out, "older").unwrap();
            }
            let ended = run_and_kill(&mut get(&place, version, &out, &[&url]), Some(moment));
            let found = fs::read(&out).ok();
            let is_whole = found.as_ref() == Some(&whole);
            let is_as_before = found.as_deref() == older.then_some(b"older".as_slice());
            let length = found.as_ref().map(Vec::len);
            assert!(is_whole || is_as_before, "{moment:?}: {length:?} bytes");
            assert!(is_whole || !ended, "{moment:?}: exit 0 without the file");
            if is_whole {
                after += 1;
            } else {
                before += 1;
            }
        }
        // Remains of an earlier one do no harm.
        let finished = place.get_after(":", &["-o".as_ref(), out.as_os_str(), url.as_ref()]);
        assert!(finished.succeeded(), "{finished}");
        assert!(fs::read(&out).unwrap() == whole);
    }
    println!("killed before the name was given: {before}, after: {after}");
    assert!(before > 0, "every one of them was killed too late");
    still_serves(&place, &server);
}

fn still_serves(place: &Place, server: &Serving) {
    let finished = place.fixture.run("get", ["-I", &server.url("/f")]);
    assert!(finished.succeeded(), "{finished}");
}

/// What a server saw of an upload.
struct Seen {
    announced: usize,
    body: Vec<u8>,
    ending: Option<Ending>,
}

/// A server that takes uploads over HTTP/1.1 and answers each when all of it is there.
fn takes_uploads(place: &Place) -> (u16, Receiver<Seen>) {
    let chain = fs::read(&place.fixture.chain).unwrap();
    let key = fs::read(&place.fixture.key).unwrap();
    let identity = Identity::from_bytes(&chain, &key, Passphrase::none()).unwrap();
    let context = ServerContext::builder()
        .identity(identity)
        .alpn(["http/1.1"])
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (told, seen) = channel();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (context, told) = (context.clone(), told.clone());
            thread::spawn(move || {
                let socket = socket.unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let Ok(mut stream) = context.accept(socket) else {
                    return;
                };
                let (mut got, mut buffer, mut ending) = (Vec::new(), vec![0; 65536], None);
                let mut announced = None;
                let mut start = 0;
                while announced.is_none_or(|length| got.len() < start + length) {
                    match stream.read_some(&mut buffer) {
                        Ok(ReadOutcome::Data(count)) => got.extend_from_slice(&buffer[..count]),
                        Ok(ReadOutcome::End(end)) => {
                            ending = Some(end);
                            break;
                        }
                        Ok(ReadOutcome::WouldBlock) => {}
                        Err(_) => break,
                    }
                    if announced.is_none()
                        && let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n")
                    {
                        let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
                        start = end + 4;
                        announced = head
                            .lines()
                            .find_map(|line| line.strip_prefix("content-length: "))
                            .and_then(|value| value.parse().ok());
                    }
                }
                let Some(announced) = announced else {
                    return;
                };
                let body = got.split_off(start);
                if body.len() == announced {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nall\n");
                    let _ = stream.flush();
                    let _ = stream.read(&mut buffer);
                }
                let seen = Seen {
                    announced,
                    body,
                    ending,
                };
                let _ = told.send(seen);
            });
        }
    });
    (port, seen)
}

#[test]
fn an_upload_that_is_killed_anywhere_is_whole_or_known_to_be_cut_off() {
    let place = Place::new();
    let whole = content(8 << 20, 3);
    let source = place.fixture.write("upload", &whole);
    let (port, seen) = takes_uploads(&place);
    let url = format!("https://localhost:{port}/");
    let data = format!("@{}", source.display());
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("reply");
    let more = ["-X", "POST", "-H", "Expect:", "-d", &data, &url];
    let began = Instant::now();
    assert!(run_and_kill(
        &mut get(&place, "--http1.1", &out, &more),
        None
    ));
    let took = began.elapsed();
    let uploaded = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(uploaded.announced, uploaded.body.len());
    let sent = uploaded.body;
    let (mut cut, mut complete) = (0, 0);
    for moment in moments(took) {
        let _ = fs::remove_file(&out);
        let ended = run_and_kill(&mut get(&place, "--http1.1", &out, &more), Some(moment));
        match fs::read(&out) {
            Ok(reply) => assert_eq!(reply, b"all\n", "{moment:?}"),
            Err(_) => assert!(!ended, "{moment:?}: exit 0 without the reply"),
        }
        // Those that had sent their head by then.
        while let Ok(seen) = seen.try_recv() {
            assert!(sent.starts_with(&seen.body), "{moment:?}: other bytes");
            if seen.body.len() == seen.announced {
                complete += 1;
            } else {
                assert_ne!(seen.ending, Some(Ending::CloseNotify), "{moment:?}");
                cut += 1;
            }
        }
    }
    println!("uploads cut off: {cut}, complete: {complete}");
}
