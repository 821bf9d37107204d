//! Requests beside curl's: the same arguments, and the same bytes from both.

use handfast_testbed::launch::Program;
use handfast_testbed::misbehaving::Step;

use crate::common::Fixture;

/// What both send, and do not need to agree on: the client's name, and the port.
const APART: [&str; 2] = ["user-agent: handfast", "user-agent: curl"];

/// curl 7 asks before every upload of a file, also of a small one.
const NO_QUESTION: &str = "Expect:";

/// A request in a form that can be compared: the line, the fields sorted and in lower case, the body without chunks.
fn comparable(request: &str, port: u16) -> String {
    let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let mut body = body.to_owned();
    let mut fields: Vec<String> = lines
        .map(|field| match field.split_once(": ") {
            // curl sends first what came last, against RFC 6265, section 5.4.
            Some((name, value)) if name.eq_ignore_ascii_case("cookie") => {
                let mut cookies: Vec<_> = value.split("; ").collect();
                cookies.sort_unstable();
                format!("cookie: {}", cookies.join("; "))
            }
            Some((name, value)) => format!("{}: {value}", name.to_lowercase())
                .trim_end()
                .to_owned(),
            None => field.to_lowercase(),
        })
        .filter(|field| !APART.iter().any(|start| field.starts_with(start)))
        .collect();
    fields.sort();
    if fields
        .iter()
        .any(|field| field == "transfer-encoding: chunked")
    {
        body = without_chunks(&body);
    }
    let mut text = format!("{line}\n{}\n\n{body}", fields.join("\n"));
    if let Some((_, boundary)) = text.split_once("boundary=") {
        let boundary = boundary.lines().next().unwrap_or_default().to_owned();
        // The boundaries are not of the same length.
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("content-length"))
            .collect();
        text = lines.join("\n").replace(&boundary, "BOUNDARY");
    }
    text.replace(&format!(":{port}"), ":PORT")
}

fn without_chunks(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&behind[..size]);
        rest = behind[size..].trim_start_matches("\r\n");
    }
    body
}

/// What `get` sends, and what curl sends; `None` without curl.
fn both(fixture: &Fixture, args: &[&str], path: &str, stdin: &str) -> Option<(String, String)> {
    let curl = Program::new("curl")?
        .args(["-q", "-sS", "--cacert"])
        .arg(&fixture.ca);
    let ours = fixture.program("get").args(fixture.trust());
    let sent = [curl, ours].map(|program| {
        let server = fixture.misbehaving().serve([
            Step::ReadRequest,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ]);
        let finished = program.args(args).arg(server.url(path)).stdin(stdin).run();
        assert!(finished.succeeded(), "{args:?}: {finished}");
        comparable(&server.received_text(), server.address().port())
    });
    let [curl, ours] = sent;
    Some((ours, curl))
}

#[test]
fn credentials_and_names_are_those_of_curl() {
    let fixture = Fixture::new();
    let netrc = fixture.write(
        "netrc",
        "machine other login x password y\nmachine localhost login ann password \"p w\"\n",
    );
    let netrc = netrc.display().to_string();
    let lines = fixture.write("lines", "machine\nlocalhost\nlogin\nann\npassword\nq\n");
    let lines = lines.display().to_string();
    let alone = fixture.write("alone", "machine localhost\n");
    let alone = alone.display().to_string();
    let jar = fixture.write(
        "jar",
        "localhost\tFALSE\t/\tTRUE\t4102444800\tkept\t1\n\
         localhost\tFALSE\t/\tFALSE\t0\tlast\t2\n\
         other.example\tFALSE\t/\tFALSE\t0\telsewhere\t3\n\
         Set-Cookie: field=4; path=/deep; domain=localhost\n",
    );
    let jar = jar.display().to_string();
    let at_jar = format!("@{jar}");
    let table: &[&[&str]] = &[
        &["-u", "ann:p:w"],
        &["-u", ":", "--basic"],
        &["-u", "ann:", "-H", "Authorization: Custom x"],
        &["--oauth2-bearer", "t0ken"],
        &["--netrc-file", &netrc],
        &["--netrc-file", &netrc, "--netrc-optional"],
        &["--netrc-file", &netrc, "-u", "bob:x"],
        &["--netrc-file", &netrc, "-H", "Authorization:"],
        &["-u", "ann:x", "-H", "Authorization:"],
        &["--netrc-file", &lines],
        &["--netrc-file", &alone],
        &["-A", "me/1", "-e", "https://from.example/"],
        &["-A", "", "-e", ";auto"],
        &["-A", "me/1", "-H", "User-Agent: other"],
        &["-b", "a=1; b=2", "-b", "c=3"],
        &["-b", "a=1", "-H", "Cookie: d=4"],
        &["-b", &jar],
        &["-b", &jar, "-b", "typed=1", "-j"],
        &["-b", &at_jar, "-b", "none-such"],
        &["-b", ""],
        &["-r", "0-4"],
        &["-r", "5-"],
        &["-r", "-5"],
        &["-r", "5"],
        &["-r", "0-1,3-4"],
        &["-r", "0-1", "-H", "Range: bytes=2-3"],
        &["-C", "-"],
        &["-C", "0"],
        &["-z", "Sun, 06 Nov 1994 08:49:37 GMT"],
        &["-z", "-20 Nov 1994"],
        &["-z", "20 Nov 1994", "-H", "If-Modified-Since: x"],
        &["--compressed"],
        &["--compressed", "-H", "Accept-Encoding: gzip"],
    ];
    for args in table {
        let Some((ours, curl)) = both(&fixture, args, "/", "") else {
            return;
        };
        assert_eq!(ours, curl, "{args:?}");
    }
}

#[test]
fn bodies_are_those_of_curl() {
    let fixture = Fixture::new();
    let file = |name: &str, text: &str| fixture.write(name, text).display().to_string();
    let data = file("data.txt", "one\r\ntwo & three\n");
    let page = file("page.html", "<p>\n");
    let odd = file("a;b,c \"d\".bin", "odd\n");
    let fields = file("fields", "X-One: 1\nX-Two: 2\n\n");
    let at = |name: &str| format!("@{name}");
    let odd = format!("f=@\"{}\"", odd.replace('"', "\\\""));
    let f_data = format!("f=@{data}");
    let f_page = format!("f=<{page}");
    let f_text = format!("f=<{data}");
    let f_named = format!("f=@{page};type=text/x;charset=utf-8;filename=\"o;ther\"");
    let encoded = format!("n@{data}");
    let table: &[(&[&str], &str)] = &[
        (&["-d", "a=1", "-d", "b=2"], "/"),
        (&["-d", "", "--data-raw", "@x", "-d", "c"], "/"),
        (&["-d", &at(&data)], "/"),
        (
            &["--data-ascii", &at(&data), "--data-binary", &at(&data)],
            "/",
        ),
        (
            &["--data-binary", "@-", "-H", "content-type: text/plain"],
            "/",
        ),
        (
            &["--data-urlencode", "a b/ü~*", "--data-urlencode", "=x=y"],
            "/",
        ),
        (
            &["--data-urlencode", "n=1&2", "--data-urlencode", &encoded],
            "/",
        ),
        (&["--data-urlencode", &at(&data)], "/"),
        (&["-G", "-d", "a=1", "--data-urlencode", "b=2 3"], "/p?q=0"),
        (&["-G", "-d", "a=1"], "/p"),
        (&["-I", "-G", "-d", "a=1"], "/p"),
        (&["--json", "{\"a\":", "--json", "1}"], "/"),
        (&["--json", &at(&data), "-H", "Accept: text/plain"], "/"),
        (&["--json", "1", "-H", "Content-Type: application/x"], "/"),
        (&["-X", "PATCH", "--json", "1"], "/"),
        (&["-X", "DELETE"], "/"),
        (
            &["-H", &at(&fields), "-H", "X-Three;", "-H", "Accept:"],
            "/",
        ),
        (&["-H", "Expect: 100-continue", "-d", "a"], "/"),
        (&["-H", NO_QUESTION, "-T", &data], "/"),
        (&["-H", NO_QUESTION, "-T", &data], "/dir/"),
        (&["-H", NO_QUESTION, "-T", &data], "/dir/name"),
        (
            &[
                "-H",
                NO_QUESTION,
                "-T",
                &data,
                "-X",
                "POST",
                "-H",
                "Content-Type: text/plain",
            ],
            "/n",
        ),
        (&["-T", "-"], "/from-stdin"),
        (&["-F", "a=1", "-F", "b=2;type=application/json"], "/"),
        (&["-F", &f_data, "-F", &f_page, "-F", &f_text], "/"),
        (&["-F", &f_named, "-F", &odd], "/"),
        (
            &["-F", "a=\"x;y\"", "--form-string", "b=@x;y", "-F", "c\"=<-"],
            "/",
        ),
        (&["-F", "a=1;filename=b.png", "-F", "c=;filename=d"], "/"),
    ];
    for (args, path) in table {
        let Some((ours, curl)) = both(&fixture, args, path, "from stdin\n") else {
            return;
        };
        assert_eq!(ours, curl, "{args:?}");
    }
}
