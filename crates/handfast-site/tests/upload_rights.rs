//! Who may upload, and what may become of it: guards, rules and origins hold, and what is stored does nothing in the site's name.

#![cfg(unix)]

mod site_common;

use std::fs;

use handfast_site::{Clients, Cors, Guard, Rule, Uploads};
use site_common::uploads::{client_certificate, put, start, start_open, tree};
use site_common::{Fixture, VERSIONS, curl, site};

#[test]
fn pages_of_other_sites_upload_nothing() {
    let server = start(|uploads| uploads);
    let start_with_cors = |credentials| {
        site(|site, directory| {
            let up = directory.join("up");
            fs::create_dir(&up).unwrap();
            let cors = Cors::origins(["https://app.example"])
                .unwrap()
                .with_methods(["PUT"])
                .unwrap()
                .with_credentials(credentials)
                .unwrap();
            site.with_uploads(Uploads::new(up).unwrap()).with_cors(cors)
        })
    };
    let with_cors = start_with_cors(false);
    let with_credentials = start_with_cors(true);
    let own = format!("Origin: https://localhost:{}", server.address.port());
    for version in VERSIONS {
        for (fields, allowed) in [
            (&[][..], true),
            (&[own.as_str()], true),
            (&["Origin: https://evil.example"], false),
            (&["Origin: https://localhost"], false),
            (&["Origin: null"], false),
            (&["Sec-Fetch-Site: same-origin", own.as_str()], true),
            (&["Sec-Fetch-Site: same-site", own.as_str()], false),
            (&["Sec-Fetch-Site: cross-site"], false),
            (&["Sec-Fetch-Site: none"], true),
        ] {
            let mut more = Vec::new();
            for field in fields {
                more.extend(["-H", field]);
            }
            let _ = fs::remove_file(server.directory.path().join("up/f"));
            let expected = if allowed { 201 } else { 403 };
            let Some(got) = put(&server, version, "/upload/f", "x", &more) else {
                return;
            };
            assert_eq!(got.status, expected, "PUT {fields:?}");
            let _ = fs::remove_file(server.directory.path().join("up/f"));
            let url = server.url("/upload/");
            let mut args = vec![version, &url, "-F", "f=x;filename=f"];
            args.extend(&more);
            assert_eq!(
                curl(&server, &args).unwrap().status,
                expected,
                "POST {fields:?}"
            );
        }
        let _ = fs::remove_file(with_cors.directory.path().join("up/f"));
        let origin = [
            "-H",
            "Origin: https://app.example",
            "-H",
            "Sec-Fetch-Site: cross-site",
        ];
        let got = put(&with_cors, version, "/upload/f", "x", &origin).unwrap();
        assert_eq!(got.status, 201);
        assert_eq!(
            got.field("access-control-allow-origin"),
            Some("https://app.example")
        );
        let url = with_cors.url("/upload/");
        let mut args = vec![version, &url, "-F", "f=x;filename=g"];
        args.extend(origin);
        assert_eq!(
            curl(&with_cors, &args).unwrap().status,
            403,
            "a form needs the method, too"
        );
        let certificate = client_certificate(&with_cors);
        let certificate: Vec<&str> = certificate.iter().map(String::as_str).collect();
        for credentials in [&["-u", "ann:secret"][..], &certificate] {
            let more = [&origin[..], credentials].concat();
            let got = put(&with_cors, version, "/upload/h", "x", &more).unwrap();
            assert_eq!(got.status, 403, "{credentials:?}");
            assert_eq!(
                put(&with_cors, version, "/upload/h", "x", credentials)
                    .unwrap()
                    .status,
                201,
                "its own client may"
            );
            fs::remove_file(with_cors.directory.path().join("up/h")).unwrap();
        }
        let more = [&origin[..], &["-u", "ann:secret"]].concat();
        let _ = fs::remove_file(with_credentials.directory.path().join("up/h"));
        let got = put(&with_credentials, version, "/upload/h", "x", &more).unwrap();
        assert_eq!(got.status, 201);
    }
}

#[test]
fn what_is_uploaded_is_read_only_where_that_is_allowed() {
    let closed = start(|uploads| uploads);
    let open =
        start_open(|site| site.with_guard(Guard::clients("/in/private", Clients::any()).unwrap()));
    for version in VERSIONS {
        let get = |server: &Fixture, path: &str, more: &[&str]| {
            let url = server.url(path);
            let mut args = vec![version, &url];
            args.extend(more);
            curl(server, &args)
        };
        let _ = fs::remove_file(closed.directory.path().join("up/x.html"));
        let Some(got) = put(&closed, version, "/upload/x.html", "<script>", &[]) else {
            return;
        };
        assert_eq!(got.status, 201);
        assert_eq!(get(&closed, "/upload/x.html", &[]).unwrap().status, 404);
        assert_eq!(get(&closed, "/upload/sub/", &[]).unwrap().status, 404);
        let page = get(&closed, "/upload/", &[]).unwrap();
        assert_eq!(page.status, 200);
        for part in [
            "<form method=\"post\" enctype=\"multipart/form-data\" action=\"/upload/\">",
            "<label for=\"files\">",
            "At most 32 files of 1 GiB each. A file of the same name is not replaced.",
        ] {
            assert!(page.body.contains(part), "{part}: {}", page.body);
        }
        let policy = page.field("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"));
        assert!(!page.body.contains("<script"));
        let got = get(&closed, "/upload", &[]).unwrap();
        assert_eq!((got.status, got.field("location")), (308, Some("/upload/")));
        let got = get(&closed, "/upload/", &["-X", "DELETE"]).unwrap();
        assert_eq!(
            (got.status, got.field("allow")),
            (405, Some("GET, HEAD, OPTIONS, POST, PUT"))
        );
        assert_eq!(
            get(&closed, "/upload/", &["-X", "OPTIONS"]).unwrap().status,
            204
        );

        let _ = fs::remove_file(open.public().join("in/x.html"));
        let got = put(
            &open,
            version,
            "/in/x.html",
            "<script>alert(1)</script>",
            &[],
        )
        .unwrap();
        assert_eq!(got.status, 201);
        let tag = got.field("etag").unwrap().to_owned();
        let got = get(&open, "/in/x.html", &[]).unwrap();
        assert_eq!(
            (got.status, got.body.as_str()),
            (200, "<script>alert(1)</script>")
        );
        assert_eq!(got.field("content-security-policy"), Some("sandbox"));
        assert_eq!(got.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.field("etag"), Some(tag.as_str()));
        assert_eq!(get(&open, "/in/", &[]).unwrap().status, 200, "a listing");
        assert!(
            get(&open, "/in/?upload", &[])
                .unwrap()
                .body
                .contains("<form")
        );
        // Guards hold for uploads, too.
        assert_eq!(
            put(&open, version, "/in/private", "x", &[]).unwrap().status,
            403
        );
    }
}

#[test]
fn a_form_stores_nothing_where_a_put_is_refused() {
    let server = start_open(|site| {
        site.with_guard(Guard::clients("/in/private*", Clients::any()).unwrap())
            .with_guard(Guard::clients("/in/sub/x", Clients::any()).unwrap())
            .with_rule(Rule::status("/in/*.php", 410).unwrap())
    });
    for version in VERSIONS {
        for (to, name, status) in [
            ("/in/", "open", 201),
            ("/in/", "private.txt", 403),
            ("/in/", "a.php", 410),
            // The path that a browser sends with the name is not the one that counts.
            ("/in/", "sub/private.txt", 403),
            ("/in/sub/", "private.txt", 201),
            ("/in/sub", "x", 403),
            ("//in//sub//", "x", 403),
        ] {
            let part = format!("f=content;filename={name}");
            let url = server.url(to);
            let Some(got) = curl(
                &server,
                &[version, &url, "-F", "f=a;filename=first", "-F", &part],
            ) else {
                return;
            };
            assert_eq!(got.status, status, "{version} {to} {name}: {}", got.body);
            let stored = tree(&server.public().join("in"));
            let expected = match status {
                201 => 3,
                // The files before it are not stored, either.
                _ => 1,
            };
            assert_eq!(stored.len(), expected, "{to} {name}: {stored:?}");
            for name in stored.keys().filter(|name| *name != "/sub") {
                fs::remove_file(server.public().join(format!("in{name}"))).unwrap();
            }
            let path = format!("{}/{name}", to.trim_end_matches('/'));
            if !name.contains('/') {
                let put = put(&server, version, &path, "content", &[]).unwrap();
                assert_eq!(put.status, status, "PUT {path}");
                let _ = fs::remove_file(server.public().join(path.trim_start_matches('/')));
                let _ = fs::remove_file(server.public().join("in/sub/private.txt"));
            }
        }
    }
}

#[test]
fn no_rule_takes_what_was_uploaded_out_of_its_sandbox() {
    let server = start_open(|site| {
        site.with_rule(
            Rule::set_header("/**", "Content-Security-Policy", "default-src 'self'").unwrap(),
        )
        .with_rule(Rule::remove_header("/in/bare*", "Content-Security-Policy").unwrap())
        .with_rule(Rule::rewrite("/short/*", "/in/$1").unwrap())
    });
    server.put("index.html", "<p>ours");
    for version in VERSIONS {
        let policies = |path: &str, more: &[&str]| {
            let url = server.url(path);
            let mut args = vec![version, &url];
            args.extend(more);
            let got = curl(&server, &args).unwrap();
            let policies = got.fields("content-security-policy");
            let policies: Vec<String> = policies.into_iter().map(str::to_owned).collect();
            (got.status, policies)
        };
        for name in ["page.html", "bare.html"] {
            let _ = fs::remove_file(server.public().join("in").join(name));
            let path = format!("/in/{name}");
            let Some(got) = put(&server, version, &path, "<script>", &[]) else {
                return;
            };
            assert_eq!(got.status, 201);
        }
        let own = "default-src 'self'";
        for (path, more, expected) in [
            ("/in/page.html", &[][..], (200, vec![own, "sandbox"])),
            ("/in/page.html", &["-r", "0-1"], (206, vec![own, "sandbox"])),
            ("/in/bare.html", &[], (200, vec!["sandbox"])),
            ("/short/bare.html", &[], (200, vec!["sandbox"])),
            ("/index.html", &[], (200, vec![own])),
            // Ours, with a script of its own.
            ("/in/", &[], (200, vec![own])),
        ] {
            let (status, policies) = policies(path, more);
            let policies = policies.iter().map(String::as_str).collect();
            assert_eq!((status, policies), expected, "{version} {path}");
        }
    }
}

#[test]
fn no_upload_is_sent_in_place_of_the_file_beside_it() {
    let server = start_open(|site| site);
    server.put("a.csv", "one,two");
    server.put("a.csv.gz", "compressed");
    for version in VERSIONS {
        let get = |path: &str| {
            let url = server.url(path);
            let got = curl(
                &server,
                &[version, "-H", "Accept-Encoding: br, gzip, zstd", &url],
            );
            got.map(|got| {
                let coding = got.field("content-encoding").map(str::to_owned);
                (got.body, coding)
            })
        };
        let gzip = Some("gzip".to_owned());
        let Some(got) = get("/a.csv") else {
            return;
        };
        assert_eq!(got, ("compressed".to_owned(), gzip), "the operator's");
        for name in ["a.csv", "a.csv.gz", "a.csv.br", "a.csv.zst"] {
            let _ = fs::remove_file(server.public().join("in").join(name));
            let stored = put(&server, version, &format!("/in/{name}"), name, &[]).unwrap();
            assert_eq!(stored.status, 201, "{name}");
        }
        for name in ["a.csv", "a.csv.gz", "a.csv.br", "a.csv.zst"] {
            assert_eq!(
                get(&format!("/in/{name}")).unwrap(),
                (name.to_owned(), None)
            );
        }
    }
}
