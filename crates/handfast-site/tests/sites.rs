//! Which site answers, over sockets: names, connections that are for another site, replacing while requests run.

#![cfg(unix)]

mod site_common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use handfast_files::Files;
use handfast_site::{Site, SiteTable, Sites};
use site_common::{Fixture, VERSIONS, curl, setup};

fn site(directory: &Path, content: &str, names: &[&str]) -> Site {
    let root = directory.join(content);
    fs::create_dir_all(&root).unwrap();
    fs::write(root.join("index.html"), content).unwrap();
    Site::new()
        .with_names(names)
        .unwrap()
        .with_files(Files::new(&root).unwrap())
}

fn start() -> Fixture {
    Fixture::start(setup(), |directory| {
        let table = SiteTable::new()
            .with_default(site(directory, "default", &["localhost"]))
            .unwrap()
            .with(site(directory, "a", &["a.example"]))
            .unwrap()
            .with(site(directory, "b", &["b.example", "*.b.example"]))
            .unwrap()
            .with(site(directory, "strict", &["strict.example"]).with_server_name_needed(true))
            .unwrap();
        Sites::new(table)
    })
}

#[test]
fn each_name_has_its_site_and_no_connection_serves_another_ones() {
    let server = start();
    let port = server.address.port();
    // The host of the URL goes into the handshake.
    for (host, field, expected) in [
        ("a.example", None, "a"),
        ("b.example", None, "b"),
        ("x.b.example", None, "b"),
        ("localhost", None, "default"),
        ("a.example", Some("A.Example.:1"), "a"),
        // One site, two names: browsers use one connection for both.
        ("b.example", Some("x.b.example"), "b"),
        ("a.example", Some("b.example"), "421"),
        ("a.example", Some("localhost"), "421"),
        ("localhost", Some("a.example"), "421"),
        ("localhost", Some("unknown.example"), "default"),
        ("a.example", Some("unknown.example"), "421"),
        // No server name is sent for an address.
        ("127.0.0.1", None, "default"),
        ("127.0.0.1", Some("a.example"), "a"),
        ("127.0.0.1", Some("strict.example"), "421"),
        ("strict.example", None, "strict"),
    ] {
        for version in VERSIONS {
            let url = format!("https://{host}:{port}/");
            let mut args = vec![version.to_owned(), url];
            if let Some(field) = field {
                args.extend(["-H".to_owned(), format!("Host: {field}")]);
            }
            let Some(got) = curl(&server, &args) else {
                return;
            };
            assert!(got.status != 421 || got.is_harmless(), "{}", got.head);
            let found = match got.status {
                200 => got.body,
                status => status.to_string(),
            };
            assert_eq!(found, expected, "{host} {field:?} {version}");
        }
    }
    // HTTP/1.0 has no Host.
    assert_eq!(server.ask("GET / HTTP/1.0\r\n\r\n").text(), "default");
    let absolute =
        "GET https://a.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(server.ask(absolute).status, 421);
}

#[test]
fn sites_are_replaced_while_requests_come() {
    let kept = Arc::new(Mutex::new(None));
    let for_server = Arc::clone(&kept);
    let server = Fixture::start(setup(), move |directory| {
        let table = SiteTable::new()
            .with_default(site(directory, "0", &[]))
            .unwrap();
        let sites = Sites::new(table);
        *for_server.lock().unwrap() = Some(sites.clone());
        sites
    });
    let sites = kept.lock().unwrap().take().unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut stream = server.connect();
            let mut count = 0;
            let mut last = 0;
            // What began after the last replacement is answered by it.
            let mut is_last = false;
            while !is_last {
                is_last = over.load(Ordering::Acquire) && count >= 10;
                stream
                    .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    .unwrap();
                stream.flush().unwrap();
                let mut reply = String::new();
                while !reply.contains("\r\n\r\n") || reply.ends_with("\r\n\r\n") {
                    let mut piece = [0; 4096];
                    let length = stream.read(&mut piece).unwrap();
                    assert!(length > 0, "{reply}");
                    reply.push_str(std::str::from_utf8(&piece[..length]).unwrap());
                }
                assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
                let now: u32 = reply.split("\r\n\r\n").nth(1).unwrap().parse().unwrap();
                assert!(now >= last, "{now} after {last}");
                last = now;
                count += 1;
            }
            last
        });
        for number in 1..=200 {
            let content = number.to_string();
            let site = site(server.directory.path(), &content, &[]);
            sites.replace(SiteTable::new().with_default(site).unwrap());
        }
        over.store(true, Ordering::Release);
        assert_eq!(client.join().unwrap(), 200);
    });
}
