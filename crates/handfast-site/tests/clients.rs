//! Programs that people use: a browser with an application, media, a form and a client certificate; a load tester and a mirror with
//! a page and its parts.

#![cfg(target_os = "linux")]

mod site_common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use handfast_site::{Clients, Guard, Uploads};
use handfast_testbed::launch::Program;
use handfast_testbed::peers;
use site_common::{Fixture, site};

/// Chromium starts in a second or two; the rest is for machines under load.
const BROWSER_LIMIT: Duration = Duration::from_secs(120);

/// A module that exports `add`, in binary.
const ADD: &[u8] =
    b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7f\x7f\x01\x7f\x03\x02\x01\0\x07\x07\x01\x03add\0\0\
    \x0a\x09\x01\x07\0\x20\0\x20\x01\x6a\x0b";

/// What the browser does, and stores what became of it.
const SCRIPT: &str = r#"
import {add} from "./part.mjs";
const said = {};
const frame = async url => {
  const frame = document.createElement("iframe");
  frame.style = "width:360px;height:600px;border:0";
  frame.src = url;
  const loaded = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await loaded;
  return frame;
};
try {
  said.module = add(1, 2);
  const {instance} = await WebAssembly.instantiateStreaming(fetch("add.wasm"));
  said.wasm = instance.exports.add(2, 3);

  const sound = new Audio("long.wav");
  sound.preload = "metadata";
  await new Promise((done, failed) => { sound.onloadedmetadata = done; sound.onerror = failed; });
  said.seconds = Math.round(sound.duration);
  const sought = new Promise(done => sound.onseeked = done);
  sound.currentTime = 2400;
  await sought;
  said.sought = Math.round(sound.currentTime);

  const listing = (await frame("/names/")).contentDocument;
  const root = listing.documentElement;
  said.fits = root.scrollWidth <= root.clientWidth;
  // The first line of a link is its text, and not the icon alone.
  said.lines = [...listing.querySelectorAll("tbody tr:not(.u) a")].every(link => link.getClientRects()[0].width > 40);
  said.link = listing.querySelector("a[href='/upload/']").textContent;
  const filter = listing.querySelector("input");
  filter.value = "REPORT";
  filter.dispatchEvent(new Event("input"));
  said.filter = listing.querySelector("output").value;

  const form = await frame("/upload/");
  const loaded = act => new Promise(done => { form.onload = done; act(form.contentDocument); });
  const send = async name => {
    const files = new DataTransfer();
    files.items.add(new File(["from a browser"], name));
    await loaded(page => {
      page.querySelector("input").files = files.files;
      page.querySelector("form").requestSubmit();
    });
    return form.contentDocument.querySelector("h1").textContent;
  };
  const back = () => loaded(page => page.querySelector("a[href='/upload/']").click());
  said.stored = await send("gr\u00fc\u00dfe.txt");
  await back();
  said.again = await send("gr\u00fc\u00dfe.txt");
  await back();
  said.form = form.contentDocument.querySelector("h1").textContent;
} catch (error) {
  said.error = String(error);
}
await fetch("/upload/result", {method: "PUT", body: JSON.stringify(said, null, 1)});
"#;

/// Silence of so many seconds, a byte for each of 8000 samples.
fn wave(seconds: u32) -> Vec<u8> {
    let size = seconds * 8000;
    let mut file = Vec::from(*b"RIFF");
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8000_u32.to_le_bytes());
    file.extend(8000_u32.to_le_bytes());
    file.extend(b"\x01\0\x08\0data");
    file.extend(size.to_le_bytes());
    file.resize(44 + size as usize, 0x80);
    file
}

fn start() -> Fixture {
    let server = site(|site, directory| {
        let up = directory.join("up");
        fs::create_dir(&up).unwrap();
        site.with_uploads(Uploads::new(up).unwrap())
            .with_guard(Guard::clients("/private", Clients::any()).unwrap())
    });
    server.put(
        "app.html",
        "<!DOCTYPE html><link rel=stylesheet href=style.css><body><script type=module src=app.mjs></script>",
    );
    server.put("style.css", "p{color:red}");
    server.put("app.mjs", SCRIPT);
    server.put("part.mjs", "export const add = (a, b) => a + b;");
    server.put("add.wasm", ADD);
    server.put("private/index.html", "<p>for clients");
    server
}

fn chromium(program: Program, home: &Path, profile: &str) -> Program {
    program
        .env("HOME", home)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--no-first-run", "--ignore-certificate-errors"])
        .arg(format!("--user-data-dir={}", home.join(profile).display()))
        .limit(BROWSER_LIMIT)
}

#[test]
fn a_browser_runs_modules_seeks_in_media_reads_a_listing_on_a_phone_and_sends_the_form() {
    let Some(program) = peers::require("chromium") else {
        return;
    };
    let server = start();
    server.put("long.wav", wave(2500));
    for name in [
        "a_name_without_any_place_at_which_a_line_could_be_broken_so_that_it_is_broken_anywhere.tar.gz",
        "report 1.pdf",
        "report 2.pdf",
    ] {
        server.put(&format!("names/{name}"), "");
    }
    let home = tempfile::tempdir().unwrap();
    let running = chromium(Program::at(program), home.path(), "profile")
        .arg(server.url("/app.html"))
        .arg("--remote-debugging-port=0")
        .start();
    let result = server.directory.path().join("up/result");
    let deadline = Instant::now() + BROWSER_LIMIT;
    let said = loop {
        if let Ok(said) = fs::read_to_string(&result) {
            break said;
        }
        assert!(Instant::now() < deadline, "{}", running.output());
        std::thread::sleep(Duration::from_millis(20));
    };
    drop(running);
    for expected in [
        "\"module\": 3,",
        "\"wasm\": 5,",
        "\"seconds\": 2500,",
        "\"sought\": 2400,",
        "\"fits\": true,",
        "\"lines\": true,",
        "\"link\": \"Upload files\",",
        "\"filter\": \"2 of 3\",",
        "\"stored\": \"The file is stored\",",
        "\"again\": \"Conflict\",",
        "\"form\": \"Upload files\"\n",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let stored = server.directory.path().join("up/gr\u{fc}\u{df}e.txt");
    assert_eq!(fs::read_to_string(stored).unwrap(), "from a browser");
    server.witness.wait("parts of the sound", |events| {
        let is_part = |line: &str, status| line.contains("/long.wav") && status == Some(206);
        let parts = events.requests.iter();
        parts
            .filter(|seen| is_part(&seen.line, seen.status))
            .count()
            > 1
    });
}

/// The certificate is in the user's database. Only a policy of the machine chooses without asking: it is put into place for this process.
#[test]
fn a_browser_shows_its_client_certificate() {
    let (Some(program), Some(certutil), Some(pk12util), Some(unshare)) = (
        peers::require("chromium"),
        peers::require("certutil"),
        peers::require("pk12util"),
        peers::require("unshare"),
    ) else {
        return;
    };
    let policies = Path::new("/etc/chromium");
    let apart = ["--mount", "--map-root-user"];
    let may = Program::at(&unshare).args(apart).arg("true").run();
    if !may.succeeded() || !policies.is_dir() {
        handfast_testbed::skipped::note("no policy can be put into place for Chromium");
        return;
    }
    let server = start();
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let database = format!("sql:{}", path(".pki/nssdb"));
    fs::create_dir_all(path(".pki/nssdb")).unwrap();
    fs::create_dir_all(path("etc/policies/managed")).unwrap();
    let url = server.url("/");
    let chosen = format!(
        "{{\"AutoSelectCertificateForUrls\": [\"{{\\\"pattern\\\": \\\"{url}\\\", \\\"filter\\\": {{}}}}\"]}}"
    );
    fs::write(path("etc/policies/managed/choose.json"), chosen).unwrap();
    let browse = |profile: &str| {
        let script = format!(
            "mount --bind '{}' /etc/chromium && exec \"$@\"",
            path("etc")
        );
        let program = Program::at(&unshare)
            .args(apart)
            .args(["sh", "-c", &script, "sh"])
            .arg(&program);
        let finished = chromium(program, home.path(), profile)
            .arg("--dump-dom")
            .arg(server.url("/private/"))
            .run();
        assert!(!finished.timed_out, "{finished}");
        finished
    };
    // Before the browser makes one that asks for a password.
    let finished = Program::at(certutil)
        .args(["-N", "-d", &database, "--empty-password"])
        .run();
    assert!(finished.succeeded(), "{finished}");
    let without = browse("without");
    assert!(!without.out().contains("for clients"), "{without}");
    assert!(
        without.out().contains("needs a client certificate"),
        "{without}"
    );

    let ann = server.pki.client("ann").write(home.path(), "ann", &[]);
    let Some(openssl) = Program::new("openssl") else {
        return;
    };
    for finished in [
        openssl
            .args(["pkcs12", "-export", "-passout", "pass:", "-name", "ann"])
            .arg("-in")
            .arg(&ann.chain_pem)
            .arg("-inkey")
            .arg(&ann.key_pem)
            .args(["-out", &path("ann.p12")])
            .run(),
        Program::at(pk12util)
            .args(["-i", &path("ann.p12"), "-d", &database])
            .args(["-W", "", "-K", ""])
            .run(),
    ] {
        assert!(finished.succeeded(), "{finished}");
    }
    let with = browse("with");
    assert!(with.out().contains("for clients"), "{with}");
    server.witness.wait("the client", |events| {
        events.requests.iter().any(|seen| seen.client.is_some())
    });
}

#[test]
fn h2load_and_wget_get_a_page_with_its_parts() {
    let server = start();
    let urls = [
        "/app.html",
        "/style.css",
        "/app.mjs",
        "/part.mjs",
        "/add.wasm",
    ];
    if let Some(h2load) = Program::new("h2load") {
        let finished = h2load
            .args(["-n", "400", "-c", "2", "-m", "16", "-t", "1"])
            .args(urls.map(|path| server.url(path)))
            .run();
        assert!(finished.printed("400 succeeded, 0 failed"), "{finished}");
        assert!(finished.printed("status codes: 400 2xx"), "{finished}");
    }
    let Some(wget) = Program::new("wget") else {
        return;
    };
    let into = tempfile::tempdir().unwrap();
    let finished = wget
        .args(["-q", "-p", "-nH", "-e", "robots=off"])
        .args(["--ca-certificate", &server.ca_file.display().to_string()])
        .args(["-P", &into.path().display().to_string()])
        .arg(server.url("/app.html"))
        .run();
    assert!(finished.succeeded(), "{finished}");
    for name in ["style.css", "app.mjs"] {
        let got = fs::read(into.path().join(name)).unwrap();
        assert!(
            got == fs::read(server.public().join(name)).unwrap(),
            "{name}"
        );
    }
}
