//! `--compressed` and limits on sizes.

use super::super::row::{Aspect, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("--compressed https://HOST/gzip"),
    row("--compressed https://HOST/gzip/empty"),
    row("--compressed https://HOST/gzip/malformed").exits(61),
    row("--compressed https://HOST/gzip/cut").exits(18),
    row("-o raw https://HOST/gzip"),
    row("--compressed https://HOST/deflate"),
    row("--compressed https://HOST/deflate/empty"),
    row("--compressed https://HOST/deflate/malformed").exits(61),
    row("--compressed https://HOST/deflate/cut").exits(18),
    row("-o raw https://HOST/deflate"),
    row("--compressed https://HOST/raw-deflate"),
    row("--compressed https://HOST/raw-deflate/empty"),
    row("--compressed https://HOST/raw-deflate/malformed").exits(61),
    row("--compressed https://HOST/raw-deflate/cut").exits(18),
    row("-o raw https://HOST/raw-deflate"),
    row("--compressed https://HOST/br"),
    row("--compressed https://HOST/br/empty"),
    row("--compressed https://HOST/br/malformed")
        .exits(61)
        .differs(&[Aspect::Code], "61 for every coding"),
    row("--compressed https://HOST/br/cut").exits(18),
    row("-o raw https://HOST/br"),
    row("--compressed https://HOST/zstd"),
    row("--compressed https://HOST/zstd/empty"),
    row("--compressed https://HOST/zstd/malformed").exits(61),
    row("--compressed https://HOST/zstd/cut").exits(18),
    row("-o raw https://HOST/zstd"),
    row("--compressed https://HOST/identity"),
    row("--compressed https://HOST/compress").exits(61),
    row("--compressed -i https://HOST/gzip"),
    row("--compressed -o x https://HOST/gzip"),
    row("--compressed -I https://HOST/gzip"),
    row("--max-filesize 29 https://HOST/gzip").exits(63),
    row("--max-filesize 1k https://HOST/"),
    row("--max-filesize 10 -o x https://HOST/large").exits(63),
    row("--max-filesize 3 https://HOST/chunked")
        .exits(63)
        .differs(
            &[Aspect::Code],
            "the limit also holds for bodies whose length is not announced",
        ),
];
