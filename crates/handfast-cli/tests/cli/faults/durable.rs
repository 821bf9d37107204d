//! The power may fail at any moment: a name stands for a whole file that is on the disk, and is on the disk itself.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use handfast_testbed::launch::Program;
use handfast_testbed::{peers, skipped};
use rustix::process::Signal;

use super::{HANDFAST, Place, wait_until};

/// What is traced, with the path of each descriptor.
const CALLS: &str = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat";

/// In which order a file was written to the disk, got its name, and its directory was written to the disk.
fn steps(trace: &str, name: &str, directory: &Path) -> Vec<&'static str> {
    let directory = format!("<{}>", directory.display());
    let name = format!("{name}\"");
    let step = |line: &str| {
        let is_sync = line.contains("sync(");
        // One call comes after the other; what other threads do in between is no matter.
        let succeeds = line.contains(" = 0") || line.contains("<unfinished");
        match () {
            () if !succeeds => None,
            () if is_sync && line.contains(&directory) => Some("directory"),
            () if is_sync => Some("file"),
            () if line.contains(&name) => Some("name"),
            () => None,
        }
    };
    trace.lines().filter_map(step).collect()
}

#[test]
fn a_download_is_on_the_disk_before_it_gets_its_name_and_so_is_the_name() {
    let Some(strace) = peers::require("strace") else {
        return;
    };
    let place = Place::new();
    place.put("f", "content\n");
    let server = place.serve(&["--quiet"]);
    // An older file of the name is replaced in the same way.
    for _ in 0..2 {
        let (out, trace) = (place.fixture.path("out"), place.fixture.path("trace"));
        let finished = Program::at(&strace)
            .args(["-f", "-y", "-e", CALLS, "-o"])
            .arg(&trace)
            .args([HANDFAST, "get", "--no-probe"])
            .args(place.fixture.trust())
            .args([OsStr::new("-o"), out.as_os_str()])
            .arg(server.url("/f"))
            .run();
        if finished.printed("Operation not permitted") {
            return skipped::note("processes cannot be traced here");
        }
        assert_eq!(finished.code, Some(0), "{finished}");
        assert_eq!(fs::read(&out).unwrap(), b"content\n");
        let text = fs::read_to_string(&trace).unwrap();
        let steps = steps(&text, "/out", place.fixture.directory());
        assert_eq!(steps, ["file", "name", "directory"], "{text}");
    }
}

#[test]
fn an_upload_is_on_the_disk_before_it_gets_its_name_and_so_is_the_name() {
    let Some(strace) = peers::require("strace") else {
        return;
    };
    let place = Place::new();
    let (uploads, trace) = (place.fixture.path("uploads"), place.fixture.path("trace"));
    fs::create_dir(&uploads).unwrap();
    let strace = strace.to_str().unwrap().to_owned();
    let trace_text = trace.to_str().unwrap().to_owned();
    // It traces from beside: the process that was started is the server.
    let launcher = [&strace, "-D", "-f", "-y", "-e", CALLS, "-o", &trace_text];
    let more = [
        "--quiet",
        "--no-sandbox",
        "--upload",
        uploads.to_str().unwrap(),
    ];
    let Some(server) = place.try_serve_by(&launcher, &more) else {
        return skipped::note("processes cannot be traced here");
    };
    let sent = place.fixture.write("sent", "content\n");
    let url = server.url("/upload/new");
    let arguments = ["-T".as_ref(), sent.as_os_str(), OsStr::new(&url)];
    let finished = place.get_after(":", &arguments);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(fs::read(uploads.join("new")).unwrap(), b"content\n");
    // The client had its answer: all of it was done before.
    server.signal(Signal::TERM);
    wait_until("the end of the trace", || {
        let text = fs::read_to_string(&trace).unwrap();
        text.contains("+++ exited with 0 +++")
    });
    let text = fs::read_to_string(&trace).unwrap();
    let steps = steps(&text, "\"new", &uploads);
    assert_eq!(steps, ["file", "name", "directory"], "{text}");
}
