//! Every exit code of the program, once: the constants that the code uses, the table in the documentation and the
//! section of the manual pages are all made from [`ALL`]. The numbers are curl's where curl has one.

/// A code, and what it means.
#[derive(Debug)]
pub(crate) struct ExitCode {
    pub(crate) number: u8,
    pub(crate) meaning: &'static str,
}

macro_rules! exit_codes {
    ($($(#[$attribute:meta])* $name:ident = $number:literal: $meaning:literal,)*) => {
        $(#[doc = $meaning] $(#[$attribute])* pub(crate) const $name: u8 = $number;)*

        /// All of them, in ascending order.
        pub(crate) const ALL: &[ExitCode] = &[$(ExitCode { number: $number, meaning: $meaning },)*];
    };
}

exit_codes! {
    SUCCESS = 0: "Success: everything arrived complete, and every check passed.",
    OTHER = 1: "A failure without a code of its own, or a URL whose scheme is not https, nor http with `get --allow-http`.",
    USAGE = 2: "The arguments are wrong.",
    BAD_URL = 3: "The URL or the server name is malformed.",
    RESOLVE_PROXY = 5: "The proxy's name does not resolve.",
    RESOLVE = 6: "The server's name does not resolve.",
    CONNECT = 7: "The connection was refused or could not be made.",
    WEIRD_REPLY = 8: "The server's reply before TLS (STARTTLS) is malformed.",
    HTTP2 = 16: "The server ended the HTTP/2 connection (GOAWAY).",
    SHORT_BODY = 18: "The body is shorter than announced.",
    HTTP_STATUS = 22: "The HTTP status is 400 or more: `get --fail`, and `bench`.",
    WRITE = 23: "A local file cannot be written, or standard output was closed by its reader.",
    READ = 26: "A local file cannot be read.",
    TIMED_OUT = 28: "A time limit was exceeded.",
    RANGE = 33: "The server did not send the range that a download needs to go on.",
    HANDSHAKE = 35: "The TLS handshake failed.",
    INTERFACE = 45: "The chosen local address, device or port cannot be used.",
    REDIRECTS = 47: "Too many redirects.",
    EMPTY_REPLY = 52: "The server closed the connection without a reply.",
    SEND = 55: "The request could not be sent.",
    RECEIVE = 56: "The reply could not be received, was truncated, or does not have its digest.",
    OWN_CERTIFICATE = 58: "The given certificate or private key cannot be used.",
    CIPHER = 59: "No cipher suite or group of those given can be used.",
    PEER = 60: "The server's certificate was not accepted.",
    CONTENT_CODING = 61: "The reply's content coding cannot be decoded: `get --compressed`.",
    TOO_LARGE = 63: "The reply is larger than allowed: `get --max-filesize`, or a decompression bomb.",
    NO_TLS = 64: "TLS was required, and the server does not offer or refuses STARTTLS.",
    LOGIN_DENIED = 67: "The URL has a user name or a password, and `get --disallow-username-in-url` forbids them.",
    CA_FILE = 77: "The trusted certificates or revocation lists cannot be used.",
    PINNED_KEY = 90: "The server's public key is not a pinned one.",
    HTTP2_STREAM = 92: "The server reset the HTTP/2 stream.",
    PROXY = 97: "The SOCKS proxy did not connect to the server.",
    // Beyond curl's, which has none for this.
    TRUST_STORE = 120: "A trust store could not be changed: `ca trust`, `ca untrust`.",
    INTERRUPTED = 130: "Interrupted (SIGINT).",
    #[cfg_attr(not(unix), expect(dead_code, reason = "a signal of Unix"))]
    TERMINATED = 143: "Terminated (SIGTERM).",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_ascend() {
        assert!(ALL.is_sorted_by(|one, next| one.number < next.number));
    }

    /// `HANDFAST_WRITE_DOCS=1` writes the table.
    #[test]
    fn the_documentation_has_every_exit_code_and_no_other() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/exit-codes.md");
        let page = std::fs::read_to_string(path).unwrap();
        let rows = ALL
            .iter()
            .map(|code| format!("| {} | {} |\n", code.number, code.meaning));
        let table = format!(
            "| code | meaning |\n|---:|---|\n{}",
            rows.collect::<String>()
        );
        let start = page.find("| code |").expect("a table");
        let end = page[start..]
            .find("\n\n")
            .map_or(page.len(), |end| start + end + 1);
        if std::env::var_os("HANDFAST_WRITE_DOCS").is_some() {
            let page = format!("{}{table}{}", &page[..start], &page[end..]);
            std::fs::write(path, page).unwrap();
            return;
        }
        assert_eq!(&page[start..end], table, "HANDFAST_WRITE_DOCS=1 writes it");
    }
}
