//! The same tree and the same requests at nginx and at `handfast serve`: where they differ, it is said why, in
//! `docs/beside-nginx.md`. A difference that is new or gone fails the test.

mod reasons;
mod reply;
mod requests;

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use handfast::{ClientContext, TrustAnchors};
use handfast_testbed::launch::{Nginx, Program};
use handfast_testbed::pki::Pki;
use handfast_testbed::skipped;

use self::reasons::REASONS;
use self::reply::Reply;
use self::requests::Asked;
use crate::serving::{Place, Serving};

/// The test writes it with `HANDFAST_WRITE_DOCS=1`.
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/beside-nginx.md");

/// When all files were changed: 12 March 2024.
const MODIFIED: Duration = Duration::from_secs(1_710_201_600);

/// What differs in the replies to one request.
struct Difference {
    aspect: &'static str,
    nginx: String,
    ours: String,
}

/// The tree that both serve.
fn plant(place: &Place) {
    let public = place.path("public");
    fs::remove_file(public.join("f")).unwrap();
    for directory in [
        "dir/sub",
        "indexed",
        "types",
        ".hidden",
        ".well-known",
        "with space",
        "\u{fc}dir",
        "empty-dir",
    ] {
        fs::create_dir_all(public.join(directory)).unwrap();
    }
    let other = place.path("other");
    fs::create_dir(&other).unwrap();
    let hundred: String = (b'a'..=b'z').cycle().take(100).map(char::from).collect();
    let long = "A line of a text that can be made smaller.\n".repeat(500);
    let png = b"\x89PNG\r\n\x1a\n".repeat(500);
    let gzipped = b"\x1f\x8b pretended to be compressed".as_slice();
    let files: Vec<(&str, &[u8])> = vec![
        ("a.txt", hundred.as_bytes()),
        ("empty", b""),
        ("dir/b.txt", b"in a directory"),
        ("dir/.secret", b"secret"),
        ("dir/sub/c.txt", b"deeper"),
        (".hidden/x", b"hidden"),
        (".well-known/x", b"well known"),
        (
            "indexed/index.html",
            b"<!DOCTYPE html><title>the index</title>",
        ),
        ("with space.txt", b"space"),
        ("with+plus.txt", b"plus"),
        ("\u{fc}ml\u{e4}ut.txt", b"umlaut"),
        ("percent%.txt", b"percent"),
        ("page.html", long.as_bytes()),
        ("page.html.gz", gzipped),
        ("long.txt", long.as_bytes()),
        ("image.png", &png),
        ("types/latin1.txt", b"caf\xe9"),
        ("types/utf8.txt", "caf\u{e9}".as_bytes()),
    ];
    for (name, content) in files {
        fs::write(public.join(name), content).unwrap();
    }
    for extension in [
        "html",
        "htm",
        "css",
        "js",
        "mjs",
        "json",
        "xml",
        "svg",
        "png",
        "jpg",
        "gif",
        "webp",
        "avif",
        "ico",
        "woff",
        "woff2",
        "wasm",
        "pdf",
        "mp4",
        "webm",
        "mp3",
        "zip",
        "tar.gz",
        "md",
        "csv",
        "webmanifest",
        "unknown",
    ] {
        fs::write(public.join(format!("types/t.{extension}")), "x").unwrap();
    }
    fs::write(public.join("types/t"), "x").unwrap();
    fs::write(public.join("types/T.HTML"), "x").unwrap();
    fs::write(other.join("a.txt"), "the other site").unwrap();
    fs::write(place.path("outside.txt"), "outside").unwrap();
    for (to, link) in [
        ("a.txt", "link.txt"),
        ("dir", "linkdir"),
        ("../outside.txt", "out.txt"),
        ("nothing", "dangling"),
    ] {
        std::os::unix::fs::symlink(to, public.join(link)).unwrap();
    }
    for directory in [&public, &other] {
        age(directory);
    }
}

/// All files have one time.
fn age(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            age(&entry.path());
        } else if kind.is_file() {
            let file = fs::File::options().append(true).open(entry.path()).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + MODIFIED)
                .unwrap();
        }
    }
}

fn nginx(place: &Place, chain: &Path, key: &Path) -> Option<Nginx> {
    let directory = place.path("nginx");
    fs::create_dir(&directory).unwrap();
    Nginx::launch(&directory, |port| {
        format!(
            "include /etc/nginx/mime.types; default_type application/octet-stream; \
             keepalive_timeout 1s; client_header_timeout 2s; client_body_timeout 2s; \
             index index.html; autoindex on; absolute_redirect off; \
             gzip on; gzip_static on; gzip_vary on; gzip_types text/plain; charset utf-8; charset_types text/plain text/css text/xml application/javascript; \
             ssl_certificate {}; ssl_certificate_key {}; add_header Cache-Control no-cache; \
             server {{ listen 127.0.0.1:{port} ssl default_server; server_name localhost; root {}; \
               location = /old {{ return 301 /a.txt$is_args$args; }} \
               location ~ /\\.(?!well-known) {{ return 404; }} }} \
             server {{ listen 127.0.0.1:{port} ssl; server_name b.example; root {}; }}",
            chain.display(),
            key.display(),
            place.text("public"),
            place.text("other"),
        )
    })
}

fn ours(place: &Place, chain: &Path, key: &Path) -> Serving {
    let certificate = format!(
        "[[tls.certificate]]\nchain = {:?}\nkey = {:?}\n",
        chain.display().to_string(),
        key.display().to_string()
    );
    let text = format!(
        "threads = 2\n[log]\nevents = \"none\"\n[limits]\nidle = \"1s\"\nhead = \"2s\"\nread = \"2s\"\n{certificate}\
         [[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[site]]\nroot = \"public\"\n[[site.rule]]\npath = \"/old\"\nredirect = \"/a.txt\"\nstatus = 301\n\
         [[site]]\nroot = \"other\"\nnames = [\"b.example\"]\n"
    );
    fs::write(place.path("handfast.toml"), text).unwrap();
    place.serve(&["--config", &place.text("handfast.toml")])
}

/// The version of nginx that is installed.
fn version() -> Option<String> {
    let finished = Program::new("nginx")?.arg("-v").run();
    let printed = finished.out() + &finished.err();
    let (_, version) = printed.trim().rsplit_once('/')?;
    Some(version.to_owned())
}

/// What a request is for one server: with its own tag in it.
fn text_for(asked: &Asked, first: &Reply) -> Vec<u8> {
    let mut text = asked.text.clone();
    for (mark, field) in [("{etag}", "etag"), ("{modified}", "last-modified")] {
        let value = first.field(field).unwrap_or_default().as_bytes();
        while let Some(at) = text
            .windows(mark.len())
            .position(|part| part == mark.as_bytes())
        {
            text.splice(at..at + mark.len(), value.iter().copied());
        }
    }
    text
}

/// What differs; the rest does not matter if the status does.
fn differences(nginx: &Reply, ours: &Reply) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |aspect, nginx: String, ours: String| {
        if nginx != ours {
            found.push(Difference {
                aspect,
                nginx,
                ours,
            });
        }
    };
    if nginx.outcome() != ours.outcome() {
        compare("status", nginx.outcome(), ours.outcome());
        let are_redirects = [nginx, ours].map(|reply| {
            reply
                .status
                .is_some_and(|status| (301..=308).contains(&status) && status != 304)
        });
        if are_redirects != [true, true] {
            return found;
        }
    }
    let (theirs, own) = (nginx.aspects(), ours.aspects());
    for (aspect, value) in &theirs {
        let other = own.iter().find(|(other, _)| other == aspect);
        let other = other.map_or_else(|| "none".to_owned(), |(_, value)| value.clone());
        compare(aspect, value.clone(), other);
    }
    for (aspect, value) in own {
        if theirs.iter().all(|(other, _)| *other != aspect) {
            compare(aspect, "none".to_owned(), value);
        }
    }
    found
}

/// Each request at both servers, from several threads.
fn ask_all(
    client: &ClientContext,
    nginx: SocketAddr,
    ours: SocketAddr,
    all: &[Asked],
) -> Vec<Vec<Difference>> {
    let first = b"GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (first_nginx, first_ours) = (
        Reply::of(client, nginx, first),
        Reply::of(client, ours, first),
    );
    assert_eq!(
        (first_nginx.status, first_ours.status),
        (Some(200), Some(200))
    );
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(asked) = all.get(number) else { break };
                    let nginx = Reply::of(client, nginx, &text_for(asked, &first_nginx));
                    let ours = Reply::of(client, ours, &text_for(asked, &first_ours));
                    results
                        .lock()
                        .unwrap()
                        .push((number, differences(&nginx, &ours)));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, found)| found).collect()
}

/// The document, or everything that nothing is said about.
fn document(version: &str, all: &[Asked], results: &[Vec<Difference>]) -> Result<String, String> {
    let mut rows: Vec<String> = REASONS.iter().map(|_| String::new()).collect();
    let mut unargued = String::new();
    for (asked, found) in all.iter().zip(results) {
        let mut cells = vec![(String::new(), String::new()); REASONS.len()];
        for one in found {
            let reason = REASONS.iter().position(|reason| (reason.fits)(asked, one));
            let Some(reason) = reason else {
                let _ = writeln!(
                    unargued,
                    "{}: {}: {}: nginx: {}; handfast: {}",
                    asked.group, asked.shown, one.aspect, one.nginx, one.ours
                );
                continue;
            };
            let (nginx, ours) = &mut cells[reason];
            for (cell, value) in [(nginx, &one.nginx), (ours, &one.ours)] {
                if !cell.is_empty() {
                    cell.push_str("; ");
                }
                match one.aspect {
                    "status" => cell.push_str(value),
                    aspect => cell.push_str(&format!("{aspect}: {value}")),
                }
            }
        }
        for (reason, (nginx, ours)) in cells.into_iter().enumerate() {
            if !nginx.is_empty() {
                let cell = |text: &str| text.replace('|', "\\|");
                let _ = writeln!(
                    rows[reason],
                    "| ``{}`` | {} | {} |",
                    cell(&asked.shown),
                    cell(&nginx),
                    cell(&ours)
                );
            }
        }
    }
    let equal = results.iter().filter(|found| found.is_empty()).count();
    let mut text = reasons::introduction(version, all.len(), equal);
    let mut groups: Vec<&str> = all.iter().map(|asked| asked.group).collect();
    groups.dedup();
    text.push_str("| requests about | asked | answered alike |\n|---|---:|---:|\n");
    for group in groups {
        let of_group = || {
            all.iter()
                .zip(results)
                .filter(|(asked, _)| asked.group == group)
        };
        let alike = of_group().filter(|(_, found)| found.is_empty()).count();
        let _ = writeln!(text, "| {group} | {} | {alike} |", of_group().count());
    }
    for (reason, rows) in REASONS.iter().zip(rows) {
        if rows.is_empty() {
            let _ = writeln!(unargued, "no request differs any more: {}", reason.title);
        }
        let _ = write!(
            text,
            "\n## {}\n\n{}\n\n| request | nginx | handfast |\n|---|---|---|\n{rows}",
            reason.title, reason.text
        );
    }
    match unargued.is_empty() {
        true => Ok(text),
        false => Err(unargued),
    }
}

#[test]
fn what_differs_from_nginx_is_known_and_argued() {
    let Some(version) = version() else {
        return;
    };
    let known = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let writes = std::env::var_os("HANDFAST_WRITE_DOCS").is_some();
    if !writes && !known.contains(&format!("nginx {version}")) {
        skipped::note(&format!(
            "docs/beside-nginx.md is about another version of nginx than {version}"
        ));
        return;
    }
    let place = Place::new();
    plant(&place);
    let pki = Pki::new();
    let issued = pki.server(&["localhost", "b.example"]);
    let files = issued.write(&place.path(""), "server", &[]);
    let Some(nginx) = nginx(&place, &files.chain_pem, &files.key_pem) else {
        return;
    };
    let ours = ours(&place, &files.chain_pem, &files.key_pem);
    let anchors = TrustAnchors::empty().with_pem(pki.root.cert_pem().as_bytes());
    let client = ClientContext::builder()
        .trust(anchors.unwrap())
        .build()
        .unwrap();
    let all = requests::all();
    assert!(all.len() >= 250, "{}", all.len());
    let address = ([127, 0, 0, 1], ours.port).into();
    let results = ask_all(&client, nginx.address(), address, &all);
    let text = document(&version, &all, &results).unwrap_or_else(|unargued| panic!("{unargued}"));
    if writes {
        fs::write(DOCUMENT, &text).unwrap();
    }
    let known = fs::read_to_string(DOCUMENT).unwrap_or_default();
    let changed = text.lines().filter(|line| !known.contains(line));
    let gone = known.lines().filter(|line| !text.contains(line));
    let changes: Vec<_> = changed
        .map(|line| format!("+ {line}"))
        .chain(gone.map(|line| format!("- {line}")))
        .collect();
    assert!(
        text == known,
        "HANDFAST_WRITE_DOCS=1 writes it:\n{}",
        changes.join("\n")
    );
}
