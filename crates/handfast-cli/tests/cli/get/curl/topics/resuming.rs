//! Parts of files, and files that are older.

use super::super::row::{Aspect, Row, row};

pub(super) const ROWS: &[Row] = &[
    row("-r 0-4 https://HOST/"),
    row("-r 5- https://HOST/ranges/x"),
    row("-r -5 https://HOST/ranges/x"),
    row("-r 5 https://HOST/ranges/x"),
    row("-r 0-1,3-4 https://HOST/"),
    row("-r 0-1 -H 'Range: bytes=2-3' https://HOST/ranges/x"),
    row("-r 0-0 -o x https://HOST/ranges/x"),
    row("-r 20- https://HOST/ranges/x"),
    row("-f -r 20- https://HOST/ranges/x").exits(22),
    row("-r 0-4 -I https://HOST/ranges/x"),
    row("-C - https://HOST/ranges/x"),
    row("-C 0 https://HOST/ranges/x"),
    row("-C 5 https://HOST/ranges/x"),
    row("-C 20 https://HOST/ranges/x")
        .exits(33)
        .differs(&[Aspect::Code], "the file has 10 bytes: there is no rest"),
    row("-C 5 https://HOST/").exits(33),
    row("-C - -o half https://HOST/ranges/half"),
    row("-C 5 -o half https://HOST/ranges/half"),
    row("-C - -o whole https://HOST/ranges/whole"),
    row("-C - -o half https://HOST/ranges-new/half").differs(
        &[Aspect::Requests],
        "the file on the server is newer than the part: starts over",
    ),
    row("-C - -o half https://HOST/shifted/half").differs(
        &[Aspect::Code, Aspect::Requests, Aspect::Files],
        "the server sends another part than the one that is missing: starts over",
    ),
    row("-C 9 -o half https://HOST/ranges/half")
        .exits(2)
        .differs(
            &[Aspect::Code, Aspect::Requests, Aspect::Files],
            "the file would have a gap, or its end in the wrong place",
        ),
    row("--etag-save tag -o x https://HOST/etag"),
    row("--etag-save tag -o x https://HOST/").differs(
        &[Aspect::Files],
        "without an entity tag the file is left as it is",
    ),
    row("--etag-compare tag.v1 -o x https://HOST/etag"),
    row("--etag-compare tag.v1 --etag-save tag.v1 https://HOST/etag"),
    row("--etag-compare missing https://HOST/etag").exits(26),
    row("--etag-compare new.tag --etag-save new.tag https://HOST/etag"),
    row("--etag-compare tag.v1 https://HOST/"),
    row("-C - -o new https://HOST/ranges/new"),
    row("-C - -O https://HOST/ranges/half"),
    row("-C - -o half https://HOST/of-1994/half").differs(
        &[Aspect::Code, Aspect::Files],
        "the server does not send the rest: starts over",
    ),
    row("-C - -f -o whole https://HOST/ranges/whole").differs(
        &[Aspect::Code],
        "the file is complete already, and that is no failure",
    ),
    row("-z 'Sun, 06 Nov 1994 08:49:37 GMT' https://HOST/"),
    row("-z '-20 Nov 1994' https://HOST/"),
    row("-z '20 Nov 1994' -H 'If-Modified-Since: x' https://HOST/"),
    row("-z old -o old https://HOST/of-1994/x"),
    row("-z -old -o old https://HOST/of-1994/x"),
    row("-z '5 Nov 1994' -o old https://HOST/of-1994/x"),
    row("-z '7 Nov 1994' -o old https://HOST/of-1994/x"),
    row("-z '-7 Nov 1994' -o old https://HOST/of-1994/x"),
    row("-z '7 Nov 1994' https://HOST/of-1994/x"),
    row("-z 'no such file' -o x https://HOST/of-1994/x"),
    row("-z '7 Nov 1994' -o x https://HOST/"),
    row("-z old -o old https://HOST/unchanged"),
    row(r#"-H 'If-None-Match: "v1"' -o x https://HOST/etag"#),
];
