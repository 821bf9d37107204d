//! Files that change while they are served: a client gets one state of the file, whole, or an error that says
//! it is not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use super::{Place, content, take};

/// More than all that can be under way in sockets, pipes and buffers.
const LENGTH: usize = 48 << 20;

/// What happens in the middle of the reply, and what the client must then have.
struct Case {
    what: &'static str,
    change: fn(&Path),
    whole: bool,
}

const CASES: &[Case] = &[
    Case {
        what: "removed",
        change: |path| fs::remove_file(path).unwrap(),
        whole: true,
    },
    Case {
        what: "replaced by another under the same name",
        change: |path| {
            let other = path.with_extension("new");
            fs::write(&other, content(LENGTH, 2)).unwrap();
            fs::rename(other, path).unwrap();
        },
        whole: true,
    },
    Case {
        what: "its directory moved away",
        change: |path| {
            let directory = path.parent().unwrap();
            fs::rename(directory, directory.with_extension("moved")).unwrap();
        },
        whole: true,
    },
    Case {
        what: "appended to",
        change: |path| {
            let mut file = fs::File::options().append(true).open(path).unwrap();
            file.write_all(&content(100_000, 2)).unwrap();
        },
        whole: true,
    },
    Case {
        what: "shrunk to nothing",
        change: |path| fs::File::create(path).map(drop).unwrap(),
        whole: false,
    },
    Case {
        what: "shrunk by a byte",
        change: |path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(LENGTH as u64 - 1).unwrap();
        },
        whole: false,
    },
    Case {
        what: "rewritten in place",
        change: |path| fs::write(path, content(LENGTH, 2)).unwrap(),
        whole: false,
    },
    Case {
        what: "rewritten in place and longer",
        change: |path| fs::write(path, content(LENGTH + 100_000, 2)).unwrap(),
        whole: false,
    },
    Case {
        what: "overwritten at its beginning, which was sent",
        change: |path| {
            let mut file = fs::File::options().write(true).open(path).unwrap();
            file.write_all(&content(100_000, 2)).unwrap();
        },
        whole: false,
    },
];

#[test]
fn a_file_that_changes_under_way_arrives_as_it_was_or_is_known_to_be_cut_off() {
    let place = Place::new();
    let first = content(LENGTH, 1);
    let server = place.serve(&["--threads", "2", "--quiet"]);
    for version in ["--http1.1", "--http2"] {
        for (number, case) in CASES.iter().enumerate() {
            let what = format!("{version}, {}", case.what);
            let name = format!("{}{number}", version.trim_matches('-'));
            fs::create_dir(place.public(&name)).unwrap();
            let path = place.public(&name).join("f");
            fs::write(&path, &first).unwrap();
            let mut get = place
                .fixture
                .command("get")
                .args(place.fixture.trust())
                .args([version, &server.url(&format!("/{name}/f"))])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = get.stdout.take().unwrap();
            let mut got = take(&mut output, 100_000);
            (case.change)(&path);
            output.read_to_end(&mut got).unwrap();
            let mut err = String::new();
            get.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            let code = get.wait().unwrap().code();
            if case.whole {
                assert_eq!(code, Some(0), "{what}: {err}");
                assert!(got == first, "{what}: {} bytes", got.len());
            } else {
                let cut = [Some(18), Some(56)].contains(&code);
                assert!(cut && got.len() < LENGTH, "{what}: {code:?} {err}");
                // What came before the change may come after it, never the other way round.
                assert!(got[..100_000] == first[..100_000], "{what}");
            }
            drop(fs::remove_dir_all(place.public(&name)));
        }
    }
    // It goes on, with the files as they are now.
    place.put("after", "served\n");
    let finished = place.fixture.run("get", [server.url("/after")]);
    assert_eq!(finished.out(), "served\n", "{finished}");
}
