//! No descriptor is left.

use std::ffi::OsStr;
use std::fs;

use handfast_testbed::launch::Program;

use super::{HANDFAST, PATIENCE, Place, ask, wait_until};

/// Connections alone do not use up the descriptors: a connected client gets files that were not opened before, and
/// when the other connections have ended every request is served.
#[test]
fn a_crowd_leaves_descriptors_for_files() {
    let place = Place::new();
    for name in ["first", "second", "third"] {
        place.put(name, name);
    }
    let server = place.serve_after("ulimit -n 40", &["--threads", "1"]);
    server.wait_for("this process may have 40 descriptors");
    let client = place.client();
    let mut kept = server.connect(&client);
    assert_eq!(ask(&mut kept, "/first").1, b"first");
    let crowd: Vec<_> = (0..60).map(|_| server.raw()).collect();
    server.wait_for("connections are open");
    assert_eq!(ask(&mut kept, "/second").1, b"second");
    drop(crowd);
    let finished = place.fixture.run("get", [server.url("/third")]);
    assert_eq!(finished.out(), "third", "{finished}");
    let output = server.running.output();
    assert!(!output.contains("panicked"), "{output}");
    assert!(!output.contains("Too many open files"), "{output}");
}

/// Whichever descriptor is the last: an error, and no listener that accepts connections and serves none.
#[test]
fn serve_without_descriptors_says_so_or_serves() {
    let place = Place::new();
    place.put("f", "served\n");
    for limit in (4..=40).step_by(2) {
        let script = format!("ulimit -n {limit}; exec \"$@\"");
        let mut running = Program::at("sh")
            .args(["-c", &script, "sh", HANDFAST, "serve", "--threads", "1"])
            .args(["--listen", "127.0.0.1:0", "--cert"])
            .arg(&place.fixture.chain)
            .arg("--key")
            .arg(&place.fixture.key)
            .arg(place.fixture.path("public"))
            .start();
        wait_until("it listens or ends", || {
            running.has_ended() || running.output().contains("\n\n")
        });
        let has_ended = running.has_ended();
        if has_ended {
            // All output is collected then.
            running.wait(PATIENCE);
        }
        let output = running.output();
        assert!(!output.contains("panicked"), "{limit}: {output}");
        if has_ended {
            let told = output.contains("open-files")
                || output.contains("pen files")
                || output.contains("rror 24");
            assert!(told, "{limit}: {output}");
            continue;
        }
        let port = output.split_once("127.0.0.1:").unwrap().1;
        let port = port.split_once('/').unwrap().0;
        let finished = place
            .fixture
            .run("get", [format!("https://localhost:{port}/f")]);
        assert_eq!(
            finished.out(),
            "served\n",
            "{limit}: {finished} {}",
            running.output()
        );
        assert!(!running.output().contains("panicked"), "{limit}");
    }
}

/// At whichever descriptor it is the last: an error that names the cause, and no file under the final name.
#[test]
fn get_without_descriptors_says_so() {
    let place = Place::new();
    place.put("f", "served\n");
    let server = place.serve(&["--quiet"]);
    // By address: what glibc says of a name that it has no descriptor to look up is not in our hands.
    let url = format!("https://127.0.0.1:{}/f", server.port);
    let mut enough = None;
    for limit in 4..32 {
        let out = place.fixture.path("out");
        let arguments = [OsStr::new("-o"), out.as_os_str(), OsStr::new(&url)];
        let finished = place.get_after(&format!("ulimit -n {limit}"), &arguments);
        let text = finished.err();
        assert!(!text.contains("panicked"), "{limit}: {finished}");
        if finished.succeeded() {
            assert_eq!(fs::read(&out).unwrap(), b"served\n", "{limit}: {finished}");
            enough.get_or_insert(limit);
            fs::remove_file(&out).unwrap();
            continue;
        }
        assert_eq!(enough, None, "{limit}: {finished}");
        assert!(finished.code.is_some(), "{limit}: {finished}");
        // The dynamic loader has a message of its own.
        assert!(
            text.contains("open files")
                || text.contains("Error 24")
                || text.contains("descriptors"),
            "{limit}: {finished}"
        );
        assert!(!out.exists(), "{limit}: {finished}");
    }
    assert!(enough.is_some(), "31 descriptors are not enough");
}
