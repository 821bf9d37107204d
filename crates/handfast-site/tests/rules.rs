//! What a site answers besides files: redirects, rewrites, errors, header fields, CORS, HSTS, the application's page, error
//! pages, client identities. Over both versions of HTTP.

#![cfg(unix)]

mod site_common;

use std::time::Duration;

use handfast_site::{ClientName, Clients, Cors, Guard, Hsts, Rule, Uploads};
use site_common::{Fixture, Got, VERSIONS, curl, site};

fn get(server: &Fixture, version: &str, path: &str, more: &[&str]) -> Option<Got> {
    let url = server.url(path);
    let mut args = vec![version, url.as_str()];
    args.extend(more);
    curl(server, &args)
}

#[test]
fn rules_answer_in_their_order() {
    let server = site(|site, _| {
        site.with_rule(Rule::redirect("/old", "/new", 301).unwrap())
            .with_rule(Rule::redirect("/blog/*/**", "https://blog.example/$1/$2", 308).unwrap())
            .with_rule(Rule::redirect("/go/**", "/$1", 302).unwrap())
            .with_rule(Rule::redirect("/same/**", "/same/$1", 302).unwrap())
            .with_rule(Rule::status("/gone/**", 410).unwrap())
            .with_rule(Rule::rewrite("/latest/**", "/v2/$1").unwrap())
            // A rewritten path is not rewritten back.
            .with_rule(Rule::rewrite("/v1/**", "/latest/$1").unwrap())
            .with_rule(Rule::rewrite("/v2/hidden", "/.env").unwrap())
            .with_rule(Rule::rewrite("/out/*", "/$1/../../secret").unwrap())
            .with_rule(Rule::set_header("/**", "X-One", "1").unwrap())
            .with_rule(Rule::add_header("/v2/**", "X-One", "2").unwrap())
            .with_rule(Rule::set_header("/gone/**", "X-Gone", "yes").unwrap())
            .with_rule(Rule::remove_header("/v2/*.js", "Last-Modified").unwrap())
            .with_rule(Rule::cache_control("/v2/**", "max-age=31536000, immutable").unwrap())
    });
    server.put("new", "new");
    server.put("same/f", "same");
    server.put("v2/app.js", "two");
    server.put(".env", "secret");
    for version in VERSIONS {
        for (path, status, expected) in [
            ("/new", 200, "new"),
            ("/old", 301, "/new"),
            ("/%6fld?a=b&c", 301, "/new?a=b&c"),
            ("//old", 301, "/new"),
            ("/old/", 404, ""),
            ("/blog/2026/a/b?x", 308, "https://blog.example/2026/a/b?x"),
            ("/blog/2026/", 308, "https://blog.example/2026/"),
            ("/blog", 404, ""),
            // Never another host.
            ("/go//evil.example/", 302, "/evil.example/"),
            ("/go/%2f%2fevil.example/", 400, ""),
            ("/go/%5c%5cevil.example", 302, "/%5C%5Cevil.example"),
            ("/go/a%0d%0aSet-Cookie:x", 302, "/a%0D%0ASet-Cookie%3Ax"),
            ("/go/", 302, "/"),
            // A redirect to itself does not apply.
            ("/same/f", 200, "same"),
            ("/gone/x", 410, ""),
            ("/latest/app.js", 200, "two"),
            ("/v1/app.js", 404, ""),
            ("/v2/hidden", 404, ""),
            ("/out/v2", 404, ""),
            ("/v2/../old", 404, ""),
            ("/%zz", 400, ""),
        ] {
            let Some(got) = get(&server, version, path, &[]) else {
                return;
            };
            assert_eq!(got.status, status, "{version} {path}: {}", got.body);
            match status {
                200 => assert_eq!(got.body, expected, "{path}"),
                300..400 => assert_eq!(got.field("location"), Some(expected), "{path}"),
                _ => assert!(!got.body.contains("secret"), "{path}"),
            }
        }
        let got = get(&server, version, "/latest/app.js", &[]).unwrap();
        assert_eq!(got.fields("x-one"), ["1", "2"]);
        assert_eq!(
            got.field("cache-control"),
            Some("max-age=31536000, immutable")
        );
        assert_eq!(got.field("last-modified"), None);
        let got = get(&server, version, "/gone/x", &["-I"]).unwrap();
        assert_eq!(got.field("x-gone"), Some("yes"));
        assert_eq!(got.field("x-content-type-options"), Some("nosniff"));
        // An error is not kept for a year.
        let got = get(&server, version, "/latest/none.js", &[]).unwrap();
        assert_ne!(
            got.field("cache-control"),
            Some("max-age=31536000, immutable")
        );
        assert_eq!(got.status, 404);
    }
}

#[test]
fn what_is_ours_is_what_its_type_says_and_loads_nothing() {
    let server = site(|site, directory| {
        let up = directory.join("up");
        std::fs::create_dir(&up).unwrap();
        site.with_rule(Rule::redirect("/old", "/new", 301).unwrap())
            .with_rule(Rule::status("/gone", 410).unwrap())
            .with_guard(Guard::clients("/private", Clients::any()).unwrap())
            .with_uploads(Uploads::new(up).unwrap())
    });
    server.put("f", "content");
    server.put("sub/f", "content");
    let (parts, other) = ("multipart/form-data; boundary=b", "If-Match: \"x\"");
    let kind = format!("Content-Type: {parts}");
    let form = |name: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=f; filename={name}\r\n\r\nx\r\n--b--\r\n"
        )
    };
    for version in VERSIONS {
        let listing = get(&server, version, "/sub/", &[]);
        assert!(
            listing.is_none_or(|got| got.body.contains("<a href=\"/upload/\">Upload files</a>"))
        );
        for accept in [
            "Accept: */*",
            "Accept: text/html",
            "Accept: application/json",
        ] {
            // Of each name one is made.
            let name = format!("{version}{}", accept.len()).replace('-', "");
            let form = form(&name);
            for (path, more, status) in [
                ("/none", &[][..], 404),
                ("/a/../b", &[], 404),
                ("/%zz", &[], 400),
                ("/sub", &[], 308),
                ("/sub/", &[], 200),
                ("/f", &["-X", "DELETE"], 405),
                ("/f", &["-H", other], 412),
                ("/f", &["-r", "100-"], 416),
                ("/f", &["-H", "Accept-Encoding: identity;q=0"], 406),
                ("/old", &[], 301),
                ("/gone", &[], 410),
                ("/private/", &[], 403),
                ("/upload/", &[], 200),
                ("/upload", &[], 308),
                ("/upload/x", &[], 404),
                ("/upload/", &["-X", "DELETE"], 405),
                ("/upload/", &["-H", &kind, "--data-binary", &form], 201),
                ("/upload/", &["-H", &kind, "--data-binary", &form], 409),
                ("/upload/", &["-d", "x"], 415),
            ] {
                let more = [&["-H", accept][..], more].concat();
                let Some(got) = get(&server, version, path, &more) else {
                    return;
                };
                assert_eq!(got.status, status, "{version} {path} {}", got.body);
                assert!(got.is_harmless(), "{version} {path} {}", got.head);
                if accept.ends_with("html") && more.contains(&"--data-binary") {
                    assert!(got.body.contains("<a href=\"/upload/\">"), "{}", got.body);
                }
            }
        }
    }
    let got = get(&server, VERSIONS[0], "/f", &[]).unwrap();
    assert!(!got.is_harmless(), "a file is not ours");
}

#[test]
fn the_applications_page_is_for_navigations() {
    let server = site(|site, _| {
        site.with_fallback("/index.html")
            .unwrap()
            .with_rule(Rule::cache_control("/assets/**", "immutable, max-age=31536000").unwrap())
    });
    server.put("index.html", "<p>app");
    server.put("assets/a.js", "script");
    const HTML: &str = "Accept: text/html,*/*;q=0.8";
    for version in VERSIONS {
        for (path, args, status, body) in [
            ("/", &["-H", HTML][..], 200, "<p>app"),
            ("/users/7", &["-H", HTML], 200, "<p>app"),
            ("/users/7/", &["-H", HTML], 200, "<p>app"),
            ("/users/7", &[], 200, "<p>app"),
            ("/users/v1.2", &["-H", HTML], 404, ""),
            (
                "/users/john.doe",
                &["-H", HTML, "-H", "Sec-Fetch-Mode: navigate"],
                200,
                "<p>app",
            ),
            (
                "/assets/gone.js",
                &["-H", "Accept: */*", "-H", "Sec-Fetch-Mode: no-cors"],
                404,
                "",
            ),
            ("/assets/a.js", &["-H", HTML], 200, "script"),
            ("/assets/gone.js", &["-H", HTML], 404, ""),
            ("/users/7", &["-H", "Accept: application/json"], 404, ""),
            (
                "/users/7",
                &["-H", "Accept: */*", "-H", "Sec-Fetch-Mode: cors"],
                404,
                "",
            ),
            (
                "/users/7",
                &["-H", HTML, "-H", "Sec-Fetch-Mode: navigate"],
                200,
                "<p>app",
            ),
            ("/users/7", &["-H", HTML, "-d", "x"], 405, ""),
            ("/.env", &["-H", HTML], 200, "<p>app"),
        ] {
            let Some(got) = get(&server, version, path, args) else {
                return;
            };
            assert_eq!(got.status, status, "{version} {path} {args:?}");
            if status == 200 {
                assert_eq!(got.body, body, "{version} {path}");
            }
        }
        let got = get(&server, version, "/assets/none", &["-H", HTML, "-I"]).unwrap();
        assert_eq!(got.status, 200);
        assert_eq!(got.field("cache-control"), Some("no-cache"));
        assert!(got.fields("vary").join(",").contains("accept"));
        // Its own validators: a client that has it gets 304.
        let tag = got.field("etag").unwrap();
        let condition = format!("If-None-Match: {tag}");
        let got = get(
            &server,
            version,
            "/users/8",
            &["-H", HTML, "-H", &condition],
        )
        .unwrap();
        assert_eq!(got.status, 304);
    }
}

#[test]
fn errors_have_the_sites_pages_and_keep_their_status() {
    let server = site(|site, _| {
        site.with_error_page(404, "/errors/404.html")
            .unwrap()
            .with_error_page(410, "/errors/none.html")
            .unwrap()
            .with_error_page_for_others("/errors/other.html")
            .unwrap()
            .with_rule(Rule::status("/gone", 410).unwrap())
            .with_rule(Rule::status("/closed", 503).unwrap())
    });
    server.put("errors/404.html", "<h1>nothing");
    server.put("errors/other.html", "<h1>other");
    for version in VERSIONS {
        for (path, args, status, body) in [
            ("/none", &[][..], 404, "<h1>nothing"),
            ("/none", &["-r", "0-1"], 404, "<h1>nothing"),
            ("/none", &["-H", "If-None-Match: *"], 404, "<h1>nothing"),
            ("/none", &["-I"], 404, ""),
            ("/closed", &[], 503, "<h1>other"),
            ("/gone", &[], 410, "What was here is gone for good.\n"),
            ("/none", &["-X", "DELETE"], 405, "<h1>other"),
            ("/errors/404.html", &[], 200, "<h1>nothing"),
        ] {
            let Some(got) = get(&server, version, path, args) else {
                return;
            };
            assert_eq!(
                (got.status, got.body.as_str()),
                (status, body),
                "{version} {path} {args:?}"
            );
            if status == 404 {
                assert_eq!(got.field("content-type"), Some("text/html; charset=utf-8"));
                assert_eq!(got.field("x-content-type-options"), Some("nosniff"));
                assert_eq!(got.field("content-length"), Some("11"));
                assert_eq!(got.field("etag"), None);
                assert_eq!(got.field("accept-ranges"), None);
            }
            if status == 405 {
                assert_eq!(got.field("allow"), Some("GET, HEAD"));
            }
        }
    }
}

#[test]
fn other_origins_may_what_they_are_allowed() {
    let server = site(|site, _| {
        let cors = Cors::origins(["https://app.example", "http://localhost:5173"])
            .unwrap()
            .with_methods(["GET", "PUT"])
            .unwrap()
            .with_headers(["content-type"])
            .unwrap()
            .with_exposed_headers(["etag"])
            .unwrap()
            .with_max_age(Duration::from_secs(60))
            .with_credentials(true)
            .unwrap();
        site.with_cors(cors)
            .with_guard(Guard::clients("/private", Clients::any()).unwrap())
    });
    server.put("f", "x");
    let any = site(|site, _| site.with_cors(Cors::any()));
    any.put("f", "x");
    let preflight = |origin: &str| -> [String; 6] {
        [
            "-X".into(),
            "OPTIONS".into(),
            "-H".into(),
            format!("Origin: {origin}"),
            "-H".into(),
            "Access-Control-Request-Method: PUT".into(),
        ]
    };
    for version in VERSIONS {
        let args = preflight("https://app.example");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        // Browsers send a preflight without credentials.
        let Some(got) = get(&server, version, "/private/f", &args) else {
            return;
        };
        assert_eq!(got.status, 204);
        for (name, expected) in [
            ("access-control-allow-origin", "https://app.example"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-allow-credentials", "true"),
            ("access-control-max-age", "60"),
            (
                "vary",
                "origin, access-control-request-method, access-control-request-headers",
            ),
        ] {
            assert_eq!(got.field(name), Some(expected), "{name}");
        }
        let args = preflight("https://evil.example");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let got = get(&server, version, "/f", &args).unwrap();
        assert_eq!(
            (got.status, got.field("access-control-allow-origin")),
            (403, None)
        );

        let origin = |origin| ["-H".to_owned(), format!("Origin: {origin}")];
        for (server, from, path, allowed) in [
            (
                &server,
                Some("https://app.example"),
                "/f",
                Some("https://app.example"),
            ),
            (
                &server,
                Some("http://localhost:5173"),
                "/f",
                Some("http://localhost:5173"),
            ),
            // Errors, too: a page may know why.
            (
                &server,
                Some("https://app.example"),
                "/none",
                Some("https://app.example"),
            ),
            (
                &server,
                Some("https://app.example"),
                "/private/f",
                Some("https://app.example"),
            ),
            (&server, Some("https://app.example.evil"), "/f", None),
            (&server, Some("null"), "/f", None),
            (&server, None, "/f", None),
            (&any, Some("https://evil.example"), "/f", Some("*")),
            (&any, Some("null"), "/f", Some("*")),
        ] {
            let args = from.map(origin).unwrap_or_default();
            let args: Vec<&str> = args
                .iter()
                .map(String::as_str)
                .filter(|arg| !arg.is_empty())
                .collect();
            let got = get(server, version, path, &args).unwrap();
            assert_eq!(
                got.field("access-control-allow-origin"),
                allowed,
                "{from:?} {path}"
            );
            let varies = got
                .fields("vary")
                .iter()
                .any(|value| value.contains("origin"));
            assert_eq!(varies, allowed != Some("*"), "{from:?}");
            if allowed == Some("*") {
                assert_eq!(got.field("access-control-allow-credentials"), None);
            }
        }
    }
}

#[test]
fn strict_transport_security_is_in_every_response() {
    let server = site(|site, _| {
        let hsts = Hsts::new(Duration::from_secs(86_400)).with_subdomains(true);
        site.with_hsts(&hsts)
            .with_rule(Rule::redirect("/r", "/f", 302).unwrap())
    });
    server.put("f", "x");
    for path in ["/f", "/r", "/none", "/%zz"] {
        let reply = server.get(path);
        assert_eq!(
            reply.field("strict-transport-security"),
            Some("max-age=86400; includeSubDomains"),
            "{path}"
        );
    }
}

#[test]
fn identities_are_demanded_for_paths() {
    let server = site(|site, _| {
        let ann = Clients::any().with_name(ClientName::CommonName("ann".to_owned()));
        let other = Clients::any().with_issuer("CN=another authority");
        site.with_guard(Guard::clients("/any", Clients::any()).unwrap())
            .with_guard(Guard::clients("/**/ann", ann).unwrap())
            .with_guard(Guard::clients("/issuer", other).unwrap())
            .with_rule(Rule::rewrite("/alias/**", "/any/$1").unwrap())
    });
    for file in ["f", "any/f", "ann/f", "any/ann/f", "issuer/f"] {
        server.put(file, "content");
    }
    let directory = server.directory.path().to_owned();
    let files = |name: &str| server.pki.client(name).write(&directory, name, &[]);
    let (ann, bob) = (files("ann"), files("bob"));
    let credentials = |client: Option<&str>| -> Vec<String> {
        let files = match client {
            Some("ann") => &ann,
            Some(_) => &bob,
            None => return Vec::new(),
        };
        vec![
            "--cert".into(),
            files.chain_pem.display().to_string(),
            "--key".into(),
            files.key_pem.display().to_string(),
        ]
    };
    for version in VERSIONS {
        for (path, none, ann, bob) in [
            ("/f", 200, 200, 200),
            ("/any/f", 403, 200, 200),
            ("/%61ny/f", 403, 200, 200),
            ("//any//f", 403, 200, 200),
            ("/any", 403, 308, 308),
            ("/any/", 403, 200, 200),
            ("/any/none", 403, 404, 404),
            // What a path is rewritten to counts.
            ("/alias/f", 403, 200, 200),
            ("/alias/ann/f", 403, 200, 403),
            ("/ann/f", 403, 200, 403),
            ("/any/ann/f", 403, 200, 403),
            ("/issuer/f", 403, 403, 403),
        ] {
            for (client, expected) in [(None, none), (Some("ann"), ann), (Some("bob"), bob)] {
                let args = credentials(client);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let Some(got) = get(&server, version, path, &args) else {
                    return;
                };
                assert_eq!(got.status, expected, "{version} {path} {client:?}");
                if expected == 403 {
                    let text = match client {
                        None => "this connection has none",
                        Some(_) => "is not allowed here",
                    };
                    assert!(got.body.contains(text), "{path} {client:?}: {}", got.body);
                }
            }
        }
        let got = get(&server, version, "/any/f", &["-H", "Accept: text/html"]).unwrap();
        assert!(got.body.contains("<h1>Forbidden</h1>"), "{}", got.body);
        assert!(
            got.field("content-security-policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
    }
}

#[test]
fn what_is_kept_from_a_client_is_not_sent_as_another_file_nor_another_file_as_it() {
    let passwords =
        handfast_site::Passwords::parse("ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=").unwrap();
    let server = site(|site, _| {
        site.with_guard(Guard::passwords("/report.html", &passwords).unwrap())
            .with_guard(Guard::passwords("/kept.html.gz", &passwords).unwrap())
            .with_guard(Guard::passwords("/index.html.gz", &passwords).unwrap())
            .with_guard(Guard::clients("/clients.html", Clients::any()).unwrap())
            .with_rule(Rule::status("/gone.html", 410).unwrap())
            .with_rule(Rule::status("/refused.html.gz", 404).unwrap())
    });
    for name in [
        "report", "kept", "index", "clients", "gone", "refused", "open",
    ] {
        server.put(&format!("{name}.html"), "plain");
        server.put(&format!("{name}.html.gz"), "packed");
    }
    for version in VERSIONS {
        for (path, status, body) in [
            ("/report.html", 401, None),
            ("/report.html.gz", 401, None),
            ("/kept.html", 200, Some("plain")),
            ("/kept.html.gz", 401, None),
            ("/", 200, Some("plain")),
            ("/index.html", 200, Some("plain")),
            ("/clients.html.gz", 403, None),
            ("/gone.html.gz", 410, None),
            ("/refused.html", 200, Some("plain")),
            ("/refused.html.gz", 404, None),
            ("/open.html", 200, Some("packed")),
            ("/open.html.gz", 200, Some("packed")),
        ] {
            let Some(got) = get(&server, version, path, &["-H", "Accept-Encoding: gzip"]) else {
                return;
            };
            assert_eq!(got.status, status, "{path}: {got:?}");
            if let Some(body) = body {
                assert_eq!(got.body, body, "{path}: {got:?}");
            }
        }
    }
}
