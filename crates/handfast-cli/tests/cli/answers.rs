//! What `serve` answers besides plain files, by options and by keys.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use handfast_testbed::launch::{Finished, Program, Running};
use handfast_testbed::pki::Pki;

const PATIENCE: Duration = Duration::from_secs(20);

/// The hash of `password`, by `openssl passwd -5 -salt saltsalt password`.
const HASH: &str = "$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC.";

struct Place {
    base: tempfile::TempDir,
}

struct Serving {
    running: Running,
    base: String,
    ca: PathBuf,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        for directory in [
            "public/incoming",
            "public/v2",
            "public/secret",
            "public/staff",
            "outside",
        ] {
            fs::create_dir_all(base.path().join(directory)).unwrap();
        }
        for (name, content) in [
            ("public/index.html", "<p>app"),
            ("public/404.html", "<p>nothing here"),
            ("public/v2/f", "two"),
            ("public/secret/f", "secret"),
            ("public/staff/f", "staff"),
            ("users.htpasswd", &format!("ann:{HASH}\n")),
            ("hash", HASH),
            ("plain", "ann:password"),
        ] {
            fs::write(base.path().join(name), content).unwrap();
        }
        Self { base }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn program(&self, args: &[&str]) -> Program {
        Program::at(env!("CARGO_BIN_EXE_handfast"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .env("HANDFAST_CA_DIR", self.path("ca"))
    }

    fn serve(&self, args: &[&str]) -> Serving {
        let running = self.program(args).start();
        let find = |output: &str| {
            let (_, rest) = output.split_once("listening on https://127.0.0.1:")?;
            let (port, _) = rest.split_once("/\n")?;
            port.parse::<u16>().ok()
        };
        let port = running
            .wait_until(PATIENCE, find)
            .unwrap_or_else(|| panic!("{}", running.output()));
        Serving {
            running,
            base: format!("https://localhost:{port}"),
            ca: self.path("ca/ca.pem"),
        }
    }
}

impl Serving {
    /// The status, the head, and the body; `None` without curl.
    fn curl(&self, path: &str, args: &[&str]) -> Option<(u16, String, String)> {
        let finished: Finished = Program::new("curl")?
            .args(["-sS", "-D", "-", "-w", "\n%{http_code}", "--cacert"])
            .arg(&self.ca)
            .args(args)
            .arg(format!("{}{path}", self.base))
            .run();
        let out = finished.out();
        assert!(!out.is_empty(), "{finished}");
        let (rest, status) = out.rsplit_once('\n').unwrap();
        let (head, body) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
        Some((
            status.parse().unwrap(),
            head.to_lowercase(),
            body.to_owned(),
        ))
    }
}

#[test]
fn files_are_served_as_options_say() {
    let place = Place::new();
    fs::write(place.path("public/v2/start.html"), "<p>start").unwrap();
    fs::write(place.path("outside/f"), "outside").unwrap();
    fs::write(
        place.path("public/large.txt"),
        "a line that repeats\n".repeat(1000),
    )
    .unwrap();
    std::os::unix::fs::symlink(place.path("outside/f"), place.path("public/link")).unwrap();
    let public = place.path("public").display().to_string();
    let accepts = ["-H", "Accept-Encoding: gzip"];

    let server = place.serve(&[&public]);
    let Some((status, ..)) = server.curl("/link", &[]) else {
        return;
    };
    assert_eq!(status, 404, "a link that leads out");
    let (_, head, _) = server
        .curl("/large.txt", &[&accepts[..], &["-I"]].concat())
        .unwrap();
    assert!(head.contains("content-encoding: gzip"), "{head}");

    let server = place.serve(&[
        "--follow-links",
        "--no-compression",
        "--index",
        "start.html",
        &public,
    ]);
    let (status, _, body) = server.curl("/link", &[]).unwrap();
    assert_eq!((status, body.as_str()), (200, "outside"));
    let (_, head, _) = server
        .curl("/large.txt", &[&accepts[..], &["-I"]].concat())
        .unwrap();
    assert!(!head.contains("content-encoding"), "{head}");
    let (_, _, body) = server.curl("/v2/", &[]).unwrap();
    assert_eq!(body, "<p>start");

    let refused = place.program(&["--index", "../f", &public]).run();
    assert!(refused.err().contains("cannot be an index"), "{refused}");
}

#[test]
fn options_of_serve_answer_as_they_say() {
    let place = Place::new();
    let text = |name: &str| place.path(name).display().to_string();
    let server = place.serve(&[
        "--spa",
        "--cors",
        "--404",
        "404.html",
        "--add-header",
        "X-Extra: one",
        "--hsts",
        "24h",
        "--upload",
        &text("outside"),
        &text("public"),
    ]);
    let Some((status, head, body)) = server.curl("/users/7", &[]) else {
        return;
    };
    assert_eq!((status, body.as_str()), (200, "<p>app"));
    for field in [
        "access-control-allow-origin: *",
        "x-extra: one",
        "strict-transport-security: max-age=86400",
    ] {
        assert!(head.contains(field), "{field}: {head}");
    }
    let (status, _, body) = server.curl("/none.js", &[]).unwrap();
    assert_eq!((status, body.as_str()), (404, "<p>nothing here"));
    let (status, ..) = server
        .curl("/upload/new.txt", &["-X", "PUT", "-d", "content"])
        .unwrap();
    assert_eq!(status, 201);
    assert_eq!(
        fs::read_to_string(place.path("outside/new.txt")).unwrap(),
        "content"
    );
    let (status, _, body) = server
        .curl("/upload/", &["-H", "Accept: text/html"])
        .unwrap();
    assert!(status == 200 && body.contains("<form"), "{body}");

    let password = format!("ann:file:{}", text("hash"));
    let server = place.serve(&["--basic-auth", &password, &text("public")]);
    let (status, head, _) = server.curl("/", &[]).unwrap();
    assert_eq!(status, 401);
    assert!(head.contains("www-authenticate: basic realm="), "{head}");
    assert_eq!(server.curl("/", &["-u", "ann:password"]).unwrap().0, 200);
    assert_eq!(server.curl("/", &["-u", "ann:wrong"]).unwrap().0, 401);
}

#[test]
fn keys_of_sites_answer_as_they_say() {
    let place = Place::new();
    let pki = Pki::new();
    fs::write(place.path("root.pem"), pki.root.cert_pem()).unwrap();
    let ann = pki.client("ann").write(place.base.path(), "ann", &[]);
    let bob = pki.client("bob").write(place.base.path(), "bob", &[]);
    let config = place.path("handfast.toml");
    let text = include_str!("../configuration/answers.toml.in");
    fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let server = place.serve(&["--config", &config]);
    let client = |files: &handfast_testbed::pki::IssuedFiles| {
        [
            "--cert".to_owned(),
            files.chain_pem.display().to_string(),
            "--key".to_owned(),
            files.key_pem.display().to_string(),
        ]
    };
    let (ann, bob) = (client(&ann), client(&bob));
    let args = |args: &'static [String; 4]| args.iter().map(String::as_str).collect::<Vec<_>>();
    let ann = args(Box::leak(Box::new(ann)));
    let bob = args(Box::leak(Box::new(bob)));
    for (path, args, expected, contains) in [
        ("/old/a?b", &[][..], 308, "location: /new/a?b"),
        ("/latest/f", &[], 200, "x-version: 2"),
        ("/latest/f", &[], 200, "cache-control: max-age=60"),
        (
            "/route",
            &[],
            200,
            "strict-transport-security: max-age=31536000; includesubdomains",
        ),
        ("/none.png", &[], 404, "content-type: text/html"),
        ("/secret/f", &[], 401, "basic realm=\"secrets\""),
        ("/secret/f", &["-u", "ann:password"], 200, ""),
        ("/staff/f", &[], 403, ""),
        ("/staff/f", &bob, 403, ""),
        ("/staff/f", &ann, 200, ""),
        (
            "/v2/f",
            &["-H", "Origin: https://app.example"],
            200,
            "access-control-allow-origin: https://app.example",
        ),
        (
            "/incoming/x",
            &["-X", "PUT", "-d", "stored"],
            201,
            "location: /incoming/x",
        ),
        ("/incoming/x", &[], 200, "content-security-policy: sandbox"),
    ] {
        let Some((status, head, _)) = server.curl(path, args) else {
            return;
        };
        assert_eq!(status, expected, "{path} {args:?} {head}");
        assert!(head.contains(contains), "{path}: {contains}: {head}");
    }
    let large = "x".repeat(2000);
    let (status, ..) = server
        .curl("/incoming/y", &["-X", "PUT", "-d", &large])
        .unwrap();
    assert_eq!(status, 413);
}

/// A name that has moved: no files, no directory, and everything else as for other sites.
#[test]
fn a_site_that_only_redirects_needs_no_directory() {
    let place = Place::new();
    let config = place.path("handfast.toml");
    let redirect = "names = [\"localhost\"]\n[[site.rule]]\npath = \"/gone\"\nstatus = 410\n\
        [[site.rule]]\npath = \"/a/**\"\nredirect = \"https://new.example/$1\"\nstatus = 308\n";
    fs::write(&config, format!("[[site]]\n{redirect}")).unwrap();
    let config_text = config.display().to_string();
    let checked = place.program(&["--check", "--config", &config_text]).run();
    assert!(checked.succeeded(), "{checked}");
    let printed = place
        .program(&["--print-config", "--config", &config_text])
        .run();
    assert!(
        printed.succeeded() && !printed.out().contains("root ="),
        "{printed}"
    );
    let server = place.serve(&["--config", &config_text]);
    let Some((status, head, _)) = server.curl("/a/b?c", &[]) else {
        return;
    };
    assert_eq!(status, 308, "{head}");
    assert!(head.contains("location: https://new.example/b?c"), "{head}");
    for (path, expected) in [("/gone", 410), ("/", 404), ("/users.htpasswd", 404)] {
        assert_eq!(server.curl(path, &[]).unwrap().0, expected, "{path}");
    }
    // It gets files, and loses them, while the server runs.
    for (root, expected) in [("root = \"public\"\n", 200), ("", 404)] {
        fs::write(&config, format!("[[site]]\n{root}{redirect}")).unwrap();
        let reloads = server.running.output().matches("reloaded").count();
        let id = server.running.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-HUP", &id])
            .status();
        assert!(sent.unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        while server.running.output().matches("reloaded").count() == reloads {
            assert!(Instant::now() < deadline, "{}", server.running.output());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(server.curl("/v2/f", &[]).unwrap().0, expected, "{root}");
        assert_eq!(server.curl("/gone", &[]).unwrap().0, 410, "{root}");
    }
}

#[test]
fn the_limit_on_wrong_passwords_is_an_option_and_a_key() {
    let place = Place::new();
    let config = place.path("handfast.toml");
    let text = "[limits]\nwrong_passwords_max = 2\n[[site]]\nroot = \"public\"\n\
        [[site.basic_auth]]\nfile = \"users.htpasswd\"\n";
    fs::write(&config, text).unwrap();
    let (config, root) = (
        config.display().to_string(),
        place.path("public").display().to_string(),
    );
    let user = format!("ann:file:{}", place.path("hash").display());
    for args in [
        &["--config", &config][..],
        &["--basic-auth", &user, "--wrong-passwords-max", "2", &root],
        // The option counts.
        &["--config", &config, "--wrong-passwords-max", "2"],
    ] {
        let server = place.serve(args);
        for (guess, expected) in [
            ("one", 401),
            ("two", 401),
            ("three", 429),
            ("password", 429),
        ] {
            let user = format!("ann:{guess}");
            let Some((status, ..)) = server.curl("/", &["-u", &user]) else {
                return;
            };
            assert_eq!(status, expected, "{guess} {args:?}");
        }
    }
    for option in ["--wrong-passwords-max", "--connections-max", "--threads"] {
        let refused = place.program(&[option, "0", &root]).run();
        assert_eq!(refused.code, Some(2), "{refused}");
        assert!(
            refused.err().contains("expected a number of 1 or more"),
            "{refused}"
        );
    }
}

#[test]
fn mistakes_are_shown_before_anything_is_served() {
    let place = Place::new();
    let text = |name: &str| place.path(name).display().to_string();
    let plain = format!("ann:file:{}", text("plain"));
    let missing = format!("ann:file:{}", text("none"));
    for (args, expected) in [
        (
            &["--basic-auth", plain.as_str()][..],
            "the password is not hashed",
        ),
        (&["--basic-auth", &missing], "cannot be read"),
        (&["--basic-auth", "ann:password"], "belongs in a file"),
        (&["--upload", &text("none")], "cannot be uploaded to"),
        (
            &["--upload", &text(".")],
            "the site's root lies beneath the directory for uploads",
        ),
        (&["--cors=app.example"], "app.example is not an origin"),
        (&["--add-header", "X-Extra"], "a header field is written as"),
        (
            &["--add-header", "Content-Length: 1"],
            "is set by the server alone",
        ),
        (&["--hsts", "a year"], "expected a length of time such as"),
    ] {
        let finished = place.program(args).arg(place.path("public")).run();
        assert!(!finished.succeeded(), "{args:?}");
        assert!(finished.err().contains(expected), "{args:?}: {finished}");
        assert!(!finished.err().contains("ann:password\n"), "{finished}");
    }
}
