//! What goes wrong, and with which exit code.

use super::super::row::{Aspect, Row, row};
use super::HTTPS;

pub(super) const ROWS: &[Row] = &[
    row("https://nothing.invalid/").exits(6),
    row("https://REFUSED/").exits(7),
    row("-m 2 https://HOST/never").exits(28),
    row("--max-time 2 -o /dev/null https://HOST/slow").exits(28),
    row("--connect-timeout 0.3 https://SILENT/").exits(28),
    row("-m 0.3 https://SILENT/").exits(28),
    row("-y 1 -Y 1000 -o /dev/null https://HOST/slow").exits(28),
    row("https://HOST/cut").exits(18),
    row("-s https://HOST/cut-chunked").exits(18),
    row("https://HOST/cut-head").exits(56).differs(
        &[Aspect::Code],
        "a response that ends within its head was cut off",
    ),
    row("https://HOST/no-answer").exits(52),
    row("https://HOST/reset").exits(56),
    row("https://HOST/reset-late").exits(18).differs(
        &[Aspect::Code],
        "18 whenever a body is shorter than announced",
    ),
    row("https://HOST/garbage").exits(56).differs(
        &[Aspect::Code],
        "56 for everything that is not HTTP; HTTP/0.9 is not spoken",
    ),
    row("https://HOST/two-lengths").exits(56).differs(
        &[Aspect::Code, Aspect::Stdout],
        "lengths that contradict each other are malformed (RFC 9112, section 6.3)",
    ),
    row("https://HOST/until-closed"),
    row("https://HOST/until-fin").exits(56).differs(
        &[Aspect::Code],
        "nothing shows that this was all: an attacker can end a connection without close_notify",
    ),
    row("https://").exits(3),
    row("https://localhost:99999/").exits(3),
    row("'https://[::1/'").exits(3),
    row("ftp://localhost/")
        .exits(1)
        .differs(&[Aspect::Code], HTTPS),
    row("file:///etc/hostname")
        .exits(1)
        .differs(&[Aspect::Code, Aspect::Stdout], HTTPS),
    row("gopher://localhost/")
        .exits(1)
        .differs(&[Aspect::Code], HTTPS),
    row("").exits(2),
    row("--no-such-option https://HOST/").exits(2),
    row("-o").exits(2),
    row("-m x https://HOST/").exits(2),
    row("--retry x https://HOST/").exits(2),
    row("-H @missing https://HOST/").exits(26).differs(
        &[Aspect::Code, Aspect::Requests, Aspect::Stdout],
        "a file that cannot be read is an error; nothing is sent",
    ),
    row("-K missing https://HOST/").exits(26),
    row("--retry 1 --retry-delay 1 -sf https://HOST/status/503").exits(22),
    row("--retry 1 --retry-delay 1 --retry-connrefused https://REFUSED/").exits(7),
    row("--retry 1 --retry-delay 1 --retry-all-errors https://HOST/no-answer").exits(52),
    row("--retry 1 --retry-delay 1 --retry-max-time 9 https://HOST/busy/500").differs(
        &[Aspect::Stdout],
        "the bodies of responses that are retried are left out",
    ),
    row("--retry 1 https://HOST/busy/404"),
    row("--proto =http https://HOST/").exits(1),
    row("--limit-rate 1M https://HOST/large"),
    row("--ignore-content-length https://HOST/")
        .exits(2)
        .differs(
            &[Aspect::Code, Aspect::Requests, Aspect::Stdout],
            "refused: it would make a response that was cut off look complete",
        ),
    row("--http0.9 https://HOST/").exits(2).differs(
        &[Aspect::Code, Aspect::Requests, Aspect::Stdout],
        "refused: it would make a response that was cut off look complete",
    ),
];
