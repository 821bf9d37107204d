//! Every flag of `get` at least once on the wire, against Apache httpd, squid and Dante: that it is taken, and that what it
//! leads to is understood there. What each does is tested elsewhere.

use std::collections::BTreeSet;
use std::fs;

use handfast_testbed::launch::Program;
use handfast_testbed::proxies::{Admits, Dante, Squid};
use handfast_testbed::servers::Kind;

use crate::common::Fixture;

/// Flags without a wire, or whose other end no server here is.
const ELSEWHERE: &[(&str, &str)] = &[
    ("--help", "no transfer"),
    ("--version", "no transfer"),
    ("--unix-socket", "a server on a Unix socket: places.rs"),
    ("--abstract-unix-socket", "the same"),
    (
        "--haproxy-protocol",
        "a server behind a load balancer: proxies.rs",
    ),
    ("--allow-http", "the servers speak TLS alone: plain_http.rs"),
    ("--ipv6", "the servers listen on IPv4: places.rs"),
    ("--capath", "a directory of hashed names: trust.rs"),
    ("--proxy-capath", "a directory: proxy.rs"),
    ("--crl", "a list of revoked certificates: trust.rs"),
    ("--crl-expired", "the same"),
    (
        "--proxy-crlfile",
        "a list of revoked certificates: proxy.rs",
    ),
    (
        "--netrc",
        "reads the file in the home directory: the table beside curl has --netrc-file",
    ),
    ("--proxytunnel", "for http:// URLs: proxies.rs"),
];

/// The flags in a help text: each with all its names.
fn flags(help: &str) -> Vec<Vec<String>> {
    let is_flag = |word: &&str| word.starts_with('-') && word.len() > 1;
    let bare = |word: &str| word.trim_end_matches("...").to_owned();
    help.lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
        .map(|line| {
            let words = line.trim_start().split([',', ' ', '=']);
            let words = words.filter(|word| !word.is_empty());
            words.take_while(is_flag).map(bare).collect()
        })
        .collect()
}

#[test]
fn every_flag_is_sent_to_a_real_server() {
    let help = Fixture::new().program("get").arg("--help").run().out();
    let all = flags(&help);
    assert!(all.len() > 150, "{} flags", all.len());
    let used: BTreeSet<String> = COMMANDS
        .iter()
        .flat_map(|(args, _, _)| args.split_whitespace())
        .filter(|word| word.starts_with('-') && word.len() > 1)
        .map(str::to_owned)
        .collect();
    let is_elsewhere = |flag: &String| ELSEWHERE.iter().any(|(known, _)| known == flag);
    let is_covered = |names: &&Vec<String>| {
        let mut names = names.iter();
        names.any(|name| used.contains(name) || is_elsewhere(name))
    };
    let missing: Vec<_> = all.iter().filter(|names| !is_covered(names)).collect();
    assert!(missing.is_empty(), "not in COMMANDS: {missing:?}");
    let is_known = |flag: &str| all.iter().flatten().any(|name| name == flag);
    let stale: Vec<_> = ELSEWHERE
        .iter()
        .filter(|(flag, _)| used.contains(*flag) || !is_known(flag))
        .collect();
    assert!(stale.is_empty(), "{stale:?}");
    run();
}

/// Arguments, a path, the exit code. `DIR`, `CA`, `CERT`, `KEY`, `PIN`, `PORT`, `URL`, `GUARDED` (for clients with certificates),
/// `HTTP` and `HTTPS` (squid) and `SOCKS` (Dante) stand for what is known only then.
const COMMANDS: &[(&str, &str, i32)] = &[
    (
        "-f -s -S -v -X GET -L --max-redirs 3 --post301 --post302 --post303",
        "/moved",
        0,
    ),
    ("--url URL -Z --parallel-max 2 --fail-early -g", "/a.txt", 0),
    ("URL --next --cacert CA -s", "/a.txt", 0),
    (
        "--compressed --max-filesize 1000000 --limit-rate 10M -Y 1 -y 30",
        "/page.html",
        0,
    ),
    (
        "--proto =https --proto-redir =https -K DIR/config -q",
        "/a.txt",
        0,
    ),
    ("-o DIR/one -R -D DIR/head --etag-save DIR/tag", "/a.txt", 0),
    ("-z DIR/one -o DIR/one --fail-with-body", "/a.txt", 0),
    ("--fail-with-body", "/none", 22),
    (
        "-O --output-dir DIR/deep --create-dirs --no-clobber",
        "/a.txt",
        0,
    ),
    (
        "--remote-name-all -J --output-dir DIR/named --create-dirs --remove-on-error",
        "/a.txt",
        0,
    ),
    ("-o DIR/one --etag-compare DIR/tag", "/a.txt", 0),
    (
        "--url-query a=1 --disallow-username-in-url --proto-default https",
        "/a.txt",
        0,
    ),
    ("--styled-output --suppress-connect-headers -B", "/a.txt", 0),
    ("-o DIR/replaced --clobber", "/a.txt", 0),
    ("-o DIR/segmented --segments 2", "/a.txt", 0),
    ("-I", "/a.txt", 0),
    (
        "-i --allow-closed-pipe -N --tcp-nodelay --no-keepalive --keepalive-time 60 --ssl-reqd --no-npn",
        "/a.txt",
        0,
    ),
    ("-r 1-3 --strict-close", "/a.txt", 0),
    ("-C - -o DIR/continued", "/a.txt", 0),
    (
        "--sha256 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "/a.txt",
        0,
    ),
    (
        "-w %{http_code} --timing --json-report DIR/report --har DIR/har --trace-ascii DIR/trace --trace-time",
        "/a.txt",
        0,
    ),
    ("--trace DIR/hex -# --color never", "/a.txt", 0),
    ("--no-progress-meter", "/a.txt", 0),
    (
        "-f -H X-One:1 -A me -e https://from.example/ -d a=1 --data-raw b=2 --data-binary @DIR/body --data-urlencode c=3",
        "/a.txt",
        0,
    ),
    ("-f -G -d a=1", "/a.txt", 0),
    ("-f --json 1", "/a.txt", 0),
    ("-f -F a=1 --form-string b=2", "/a.txt", 0),
    ("-f -T DIR/body", "/put/sent", 0),
    ("-f -u al:s3cret --basic", "/locked/a.txt", 0),
    ("-f -u al:s3cret --digest", "/digest/a.txt", 0),
    ("-f -u al:s3cret --anyauth", "/digest/a.txt", 0),
    ("-f --oauth2-bearer t0ken", "/locked/a.txt", 22),
    ("-f --netrc-file DIR/netrc", "/locked/a.txt", 0),
    (
        "-f --netrc-file DIR/netrc --netrc-optional",
        "/locked/a.txt",
        0,
    ),
    ("-f -u al:s3cret --location-trusted", "/moved", 0),
    ("-b typed=1 -c DIR/jar.new", "/a.txt", 0),
    ("-b DIR/jar -j", "/a.txt", 0),
    (
        "--retry 1 --retry-delay 1 --retry-max-time 5 --retry-connrefused --retry-all-errors",
        "/a.txt",
        0,
    ),
    ("-k", "/a.txt", 0),
    ("--cacert CA --add-cacert CA --depth 2", "/a.txt", 0),
    ("--pin PIN --pinnedpubkey PIN", "/a.txt", 0),
    (
        "-f -E CERT --key KEY --cert-type PEM --key-type PEM --pass pass:none GUARDED",
        "/a.txt",
        0,
    ),
    ("--resolve other.example:PORT:127.0.0.1 -4", "/a.txt", 0),
    ("--connect-to localhost:PORT:127.0.0.1:PORT", "/a.txt", 0),
    (
        "--interface 127.0.0.1 --local-port 20000-60000",
        "/a.txt",
        0,
    ),
    (
        "-m 20 --connect-timeout 10 --no-probe --key-log DIR/keys",
        "/a.txt",
        0,
    ),
    ("--http1.1 --tlsv1.2 --curves X25519", "/a.txt", 0),
    (
        "--http2 --tlsv1.3 --tls13-ciphers TLS_AES_128_GCM_SHA256 --ech grease",
        "/a.txt",
        0,
    ),
    (
        "--tls-max 1.2 --ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
        "/a.txt",
        0,
    ),
    (
        "-x HTTP -U al:s3cret --proxy-digest --noproxy other.example --proxy-header X-Of-Proxy:1",
        "/a.txt",
        0,
    ),
    ("-x HTTP -U al:s3cret --proxy-basic", "/a.txt", 56),
    (
        "-x HTTP -U al --proxy-password pass:s3cret --proxy-anyauth",
        "/a.txt",
        0,
    ),
    (
        "-x HTTPS -U al:s3cret --proxy-digest --proxy-cacert CA --proxy-pinnedpubkey PIN",
        "/a.txt",
        0,
    ),
    (
        "-x HTTPS -U al:s3cret --proxy-digest --proxy-insecure --proxy-cert CERT --proxy-key KEY --proxy-pass pass:none",
        "/a.txt",
        0,
    ),
    (
        "-x HTTPS -U al:s3cret --proxy-digest --proxy-cacert CA --proxy-tls13-ciphers TLS_AES_128_GCM_SHA256 --proxy-ciphers ECDHE-ECDSA-AES128-GCM-SHA256",
        "/a.txt",
        0,
    ),
    ("--socks4 SOCKS", "/a.txt", 0),
    // Debian's Dante knows no SOCKS4a.
    ("--socks4a SOCKS", "/a.txt", 97),
    ("--socks5 SOCKS", "/a.txt", 0),
    ("--socks5-hostname SOCKS", "/a.txt", 0),
    (
        "--preproxy socks5h://SOCKS -x HTTP -U al:s3cret --proxy-digest",
        "/a.txt",
        0,
    ),
];

/// The pin of the server's key; `None` without OpenSSL.
fn pin(fixture: &Fixture) -> Option<String> {
    let inspected = Program::new("openssl")?
        .args(["x509", "-noout", "-pubkey", "-in"])
        .arg(&fixture.chain)
        .run();
    let pin = handfast::SpkiSha256::of_public_key(&inspected.stdout).unwrap();
    Some(pin.to_string())
}

fn run() {
    let fixture = Fixture::new();
    let Some(server) = fixture.web_server(Kind::Apache) else {
        return;
    };
    let admits = Admits::Digest("al", "s3cret");
    let squid = Squid::launch(fixture.directory(), &fixture.chain, &fixture.key, admits);
    let (Some(squid), Some(dante)) = (squid, Dante::launch(fixture.directory())) else {
        return;
    };
    let Some(pin) = pin(&fixture) else { return };
    let client = fixture.files("client", &fixture.pki.client("ada"));
    let directory = fixture.path("out");
    fs::create_dir(&directory).unwrap();
    for (name, text) in [
        ("body", "a=1\n"),
        ("config", "header = \"X-Of-File: 1\"\n"),
        ("netrc", "machine localhost login al password s3cret\n"),
        ("jar", "localhost\tFALSE\t/\tTRUE\t4102444800\tkept\t1\n"),
    ] {
        fs::write(directory.join(name), text).unwrap();
    }
    let url = server.url("");
    let port = url.rsplit(':').next().unwrap().to_owned();
    let names = [
        ("DIR", directory.display().to_string()),
        ("GUARDED", server.certified_url("/a.txt")),
        ("PIN", pin),
        ("CERT", client.chain_pem.display().to_string()),
        ("KEY", client.key_pem.display().to_string()),
        ("CA", fixture.ca.display().to_string()),
        ("PORT", port),
        ("URL", server.url("/a.txt")),
        (
            "HTTPS",
            format!("https://localhost:{}", squid.tls_address().port()),
        ),
        ("HTTP", format!("http://{}", squid.address())),
        ("SOCKS", dante.address().to_string()),
    ];
    let mut failed = Vec::new();
    for (args, path, code) in COMMANDS {
        let args = names
            .iter()
            .fold((*args).to_owned(), |text, (name, value)| {
                text.replace(name, value)
            });
        let url = server.url(path);
        let finished = fixture
            .client("get")
            .current_dir(&directory)
            .stdin("from stdin");
        let finished = finished.args(args.split_whitespace()).arg(&url).run();
        if finished.code != Some(*code) {
            failed.push(format!("{args} {path}: {finished}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
