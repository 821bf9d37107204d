//! Which cookies are taken, where they go, and what a file has of them.

use proptest::prelude::*;

use super::*;

/// The cookies for a URL, after a response from another one set these.
fn sent(from: &str, set: &[&str], to: &str) -> String {
    let jar = CookieJar::new();
    for set in set {
        jar.set(from, set);
    }
    field(&jar, to)
}

fn field(jar: &CookieJar, url: &str) -> String {
    let field = jar.cookies_for(url);
    field.map_or_else(String::new, |field| field.to_str().unwrap().to_owned())
}

#[test]
fn cookies_go_where_they_are_for_and_nowhere_else() {
    let from = "https://www.shop.example/dir/page";
    for (set, to, expected) in [
        ("a=1", "https://www.shop.example/dir/other", "a=1"),
        ("a=1", "https://www.shop.example:8443/dir/", "a=1"),
        ("a=1", "https://www.shop.example/", ""),
        ("a=1", "https://www.shop.example/directory", ""),
        ("a=1; Path=/", "https://www.shop.example/", "a=1"),
        ("a=1; Path=/", "https://shop.example/", ""),
        ("a=1; Path=/", "https://sub.www.shop.example/", ""),
        (
            "a=1; Path=/; Domain=shop.example",
            "https://shop.example/",
            "a=1",
        ),
        (
            "a=1; Path=/; Domain=.shop.example",
            "https://api.shop.example/",
            "a=1",
        ),
        (
            "a=1; Path=/; Domain=SHOP.EXAMPLE",
            "https://api.shop.example/",
            "a=1",
        ),
        (
            "a=1; Path=/; Domain=shop.example",
            "https://othershop.example/",
            "",
        ),
        (
            "a=1; Path=/; Domain=other.example",
            "https://other.example/",
            "",
        ),
        (
            "a=1; Path=/; Domain=sub.www.shop.example",
            "https://sub.www.shop.example/",
            "",
        ),
        // A domain of one label is a registry's, or a network's.
        ("a=1; Path=/; Domain=example", "https://other.example/", ""),
        ("a=1; Path=/", "http://www.shop.example/", "a=1"),
        ("a=1; Path=/; Secure", "http://www.shop.example/", ""),
        (
            "a=1; Path=/; Secure; HttpOnly; SameSite=Strict",
            "https://www.shop.example/",
            "a=1",
        ),
        ("a=1; Path=/; Max-Age=0", "https://www.shop.example/", ""),
        (
            "a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "https://www.shop.example/",
            "",
        ),
        (
            "a=1; Path=/; Expires=Fri, 31-Dec-2100 23:59:59 GMT",
            "https://www.shop.example/",
            "a=1",
        ),
        ("__Secure-a=1; Path=/", "https://www.shop.example/", ""),
        (
            "__Secure-a=1; Path=/; Secure",
            "https://www.shop.example/",
            "__Secure-a=1",
        ),
        (
            "__Host-a=1; Path=/; Secure; Domain=shop.example",
            "https://www.shop.example/",
            "",
        ),
        (
            "__Host-a=1; Path=/; Secure",
            "https://www.shop.example/",
            "__Host-a=1",
        ),
        ("a=\"q; x\"; Path=/", "https://www.shop.example/", "a=\"q"),
        ("nothing", "https://www.shop.example/dir/", ""),
        ("=1", "https://www.shop.example/dir/", ""),
    ] {
        assert_eq!(sent(from, &[set], to), expected, "{set} to {to}");
    }
}

#[test]
fn a_public_suffix_shares_nothing() {
    for (from, domain, to, expected) in [
        ("https://a.co.uk/", "co.uk", "https://b.co.uk/", ""),
        ("https://a.co.uk/", ".co.uk", "https://b.co.uk/", ""),
        (
            "https://a.github.io/",
            "github.io",
            "https://b.github.io/",
            "",
        ),
        (
            "https://github.io/",
            "github.io",
            "https://github.io/",
            "a=1",
        ),
        (
            "https://github.io/",
            "github.io",
            "https://b.github.io/",
            "",
        ),
        (
            "https://a.b.shop.co.uk/",
            "shop.co.uk",
            "https://c.shop.co.uk/",
            "a=1",
        ),
        (
            "https://localhost/",
            "localhost",
            "https://localhost/",
            "a=1",
        ),
        (
            "https://192.0.2.1/",
            "192.0.2.1",
            "https://192.0.2.1/",
            "a=1",
        ),
        ("https://192.0.2.1/", "2.1", "https://192.0.2.1/", ""),
        ("https://[::1]/", "", "https://[::1]/", "a=1"),
        // Other spellings of the same domain.
        ("https://a.co.uk/", "CO.uk", "https://b.co.uk/", ""),
        ("https://a.co.uk/", "\u{ff43}o.uk", "https://b.co.uk/", ""),
        ("https://a.co.uk/", "c\u{ad}o.uk", "https://b.co.uk/", ""),
        ("https://a.co.uk/", "co\u{3002}uk", "https://b.co.uk/", ""),
        ("https://co.uk/", "\u{ff43}o.uk", "https://co.uk/", "a=1"),
        ("https://co.uk/", "\u{ff43}o.uk", "https://b.co.uk/", ""),
        (
            "https://b\u{fc}cher.example/",
            "b\u{fc}cher.example",
            "https://www.xn--bcher-kva.example/",
            "a=1",
        ),
    ] {
        let set = format!("a=1; Domain={domain}");
        assert_eq!(sent(from, &[&set], to), expected, "{from} {domain} {to}");
    }
}

#[test]
fn longer_paths_come_first_and_then_what_came_first() {
    let from = "https://a.example/x/y/z";
    let set = [
        "one=1; Path=/",
        "two=2; Path=/x/y",
        "three=3; Path=/",
        "one=4; Path=/",
    ];
    assert_eq!(sent(from, &set, from), "two=2; one=4; three=3");
}

#[test]
fn plain_http_neither_sets_nor_replaces_what_is_for_tls() {
    let jar = CookieJar::new();
    assert!(jar.set("https://localhost/", "a=1; Secure"));
    assert!(!jar.set("http://localhost/", "a=2"));
    assert!(!jar.set("http://localhost/", "b=2; Secure"));
    assert!(jar.set("http://localhost/", "c=3"));
    assert_eq!(field(&jar, "http://localhost/"), "c=3");
    assert_eq!(field(&jar, "https://localhost/"), "a=1; c=3");
}

#[test]
fn plain_http_sets_nothing_beside_what_is_for_tls() {
    for (secure, plain, expected) in [
        ("https://www.a.example/", "http://a.example/", false),
        ("https://www.a.example/", "http://b.a.example/", false),
        ("https://a.example/", "http://www.a.example/", false),
        ("https://other.example/", "http://a.example/", true),
        ("https://ba.example/", "http://a.example/", true),
    ] {
        let jar = CookieJar::new();
        assert!(jar.set(secure, "a=1; Secure"));
        let is_set = jar.set(plain, "a=2; Domain=a.example");
        assert_eq!(is_set, expected, "{secure} {plain}");
    }
}

#[test]
fn cookies_that_have_expired_take_no_place() {
    let jar = CookieJar::new();
    for number in 0..2 * PER_DOMAIN_MAX {
        assert!(
            jar.set("https://a.example/", &format!("c{number}=1")),
            "{number}"
        );
        jar.set("https://a.example/", &format!("c{number}=1; Max-Age=0"));
        assert_eq!(jar.len(), 0);
    }
}

#[test]
fn control_characters_in_a_path_make_no_line_of_a_file() {
    for path in ["/\tTRUE\t0\tb\t2", "/\nb.example\tFALSE\t/\tFALSE\t0\tb\t2"] {
        let jar = CookieJar::new();
        assert!(!jar.set("https://a.example/", &format!("a=1; Path={path}")));
        assert_eq!(jar.to_netscape(), CookieJar::new().to_netscape());
    }
}

#[test]
fn a_server_cannot_fill_memory() {
    let jar = CookieJar::new();
    let url = Url::parse("https://a.example/").unwrap();
    let mut fields = HeaderMap::new();
    for number in 0..PER_RESPONSE_MAX + 10 {
        fields.append(
            SET_COOKIE,
            HeaderValue::try_from(format!("c{number}=1")).unwrap(),
        );
    }
    jar.take(&url, &fields);
    assert_eq!(jar.len(), PER_RESPONSE_MAX);
    for number in 0..1000 {
        jar.set(url.as_str(), &format!("d{number}={}", "x".repeat(100)));
    }
    assert_eq!(jar.len(), PER_DOMAIN_MAX);
    // Those that are there can still be replaced.
    assert!(jar.set(url.as_str(), "c0=2"));
    assert!(!jar.set(
        "https://b.example/",
        &format!("a={}", "x".repeat(COOKIE_BYTES_MAX))
    ));
    assert!(jar.cookies_for(url.as_str()).unwrap().len() <= FIELD_BYTES_MAX);
    for host in 0..COOKIES_MAX {
        jar.set(&format!("https://h{host}.example/"), "a=1");
    }
    assert_eq!(jar.len(), COOKIES_MAX);
}

#[test]
fn files_have_netscapes_format() {
    let jar = CookieJar::new();
    let text = "# Netscape HTTP Cookie File\n\
        \n\
        .shop.example\tTRUE\t/\tTRUE\t4102444800\tall\t1\n\
        www.shop.example\tFALSE\t/dir\tFALSE\t0\tsession\tx=y z\n\
        #HttpOnly_www.shop.example\tFALSE\t/\tFALSE\t4102444800\thidden\t\n\
        past.example\tFALSE\t/\tFALSE\t1\told\t1\n\
        .co.uk\tTRUE\t/\tFALSE\t4102444800\tsuper\t1\n\
        not a cookie\n\
        a.example\tFALSE\t/\tFALSE\tsoon\tbad\t1\n\
        ::1\tFALSE\t/\tFALSE\t0\tv6\t1\n\
        Set-Cookie: field=1; Path=/; Secure\n\
        set-cookie: other=1; Domain=elsewhere.example\n";
    assert_eq!(jar.read(text, Some("https://field.example/page")), 6);
    for (url, expected) in [
        ("https://api.shop.example/", "all=1"),
        (
            "https://www.shop.example/dir/",
            "session=x=y z; all=1; hidden=",
        ),
        ("http://www.shop.example/", "hidden="),
        ("https://field.example/", "field=1"),
        ("https://[::1]/", "v6=1"),
        ("https://elsewhere.example/", ""),
        ("https://past.example/", ""),
        ("https://a.co.uk/", ""),
    ] {
        assert_eq!(field(&jar, url), expected, "{url}");
    }
    let written = jar.to_netscape();
    for line in text.lines().filter(|line| line.contains("shop.example")) {
        assert!(
            written.lines().any(|is| is == line),
            "{line} is not in {written}"
        );
    }
    let copy = CookieJar::new();
    assert_eq!(copy.read(&written, None), 6);
    assert_eq!(copy.to_netscape(), written);
    copy.forget_session();
    assert_eq!(
        field(&copy, "https://www.shop.example/dir/"),
        "all=1; hidden="
    );
    assert_eq!(CookieJar::new().read("Set-Cookie: a=1", None), 0);
    assert!(!format!("{jar:?}").contains("session"));
}

#[test]
fn a_server_writes_no_columns_and_no_lines_of_the_file() {
    for set in [
        "a=1; Path=/\tFALSE\t0\tsid\tevil",
        "a=1; Path=/x\x01",
        "a=1; Path=/x\n.other.example\tTRUE\t/\tFALSE\t0\tb\t2",
        "a=1; Domain=shop.example\tTRUE",
        "a\tb=1; Path=/",
        "a=1\tb; Path=/",
    ] {
        let jar = CookieJar::new();
        assert!(!jar.set("https://shop.example/", set), "{set:?}");
        assert!(jar.is_empty(), "{set:?}");
    }
}

#[test]
fn what_the_caller_gives_stays() {
    let jar = CookieJar::new();
    jar.set("https://a.example/", "a=1");
    let mut fields = HeaderMap::new();
    fields.append(COOKIE, HeaderValue::from_static("b=2"));
    fields.append(COOKIE, HeaderValue::from_static("c=3"));
    jar.put_into(&Url::parse("https://a.example/").unwrap(), &mut fields);
    let all: Vec<_> = fields.get_all(COOKIE).iter().collect();
    assert_eq!(all, ["a=1; b=2; c=3"]);
    jar.put_into(&Url::parse("https://b.example/").unwrap(), &mut fields);
    assert_eq!(fields[COOKIE], "a=1; b=2; c=3");
}

proptest! {
    /// Whatever a server sends, and a file contains, no other site gets it.
    #[test]
    fn nothing_reaches_another_site(
        text: String,
        name in "[a-z]{1,3}",
        domain in "(\\.|)(a\\.example|b\\.example|example|co\\.uk|\\PC{0,5})",
        file: String,
    ) {
        let jar = CookieJar::new();
        jar.set("https://a.example/", &text);
        jar.set("https://a.example/", &format!("{name}=1; Domain={domain}; Path=/"));
        prop_assert_eq!(field(&jar, "https://b.example/"), "");
        prop_assert_eq!(field(&jar, "https://b.co.uk/"), "");
        jar.read(&file, Some("https://a.example/"));
        let copy = CookieJar::new();
        copy.read(&jar.to_netscape(), None);
        prop_assert_eq!(copy.to_netscape(), jar.to_netscape());
    }
}
