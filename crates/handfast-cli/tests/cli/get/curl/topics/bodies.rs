//! What is sent: data, forms, files.

use super::super::row::{Aspect, Row, row};
use super::EXPECT;

pub(super) const ROWS: &[Row] = &[
    row("-d a=1 -d b=2 https://HOST/"),
    row("-d '' --data-raw @x -d c https://HOST/"),
    row("-d @data.txt https://HOST/"),
    row("--data-ascii @data.txt --data-binary @data.txt https://HOST/"),
    row("--data-binary @- -H 'content-type: text/plain' https://HOST/").stdin("from stdin\n"),
    row("-d @- https://HOST/").stdin("from\nstdin\n"),
    row("--data-urlencode 'a b/ü~*' --data-urlencode =x=y https://HOST/"),
    row("--data-urlencode 'n=1&2' --data-urlencode n@data.txt https://HOST/"),
    row("--data-urlencode @data.txt https://HOST/"),
    row("-G -d a=1 --data-urlencode 'b=2 3' https://HOST/p?q=0"),
    row("-G -d a=1 https://HOST/p"),
    row("-I -G -d a=1 https://HOST/p"),
    row(r#"--json '{"a":' --json 1} https://HOST/"#),
    row("--json @data.txt -H 'Accept: text/plain' https://HOST/"),
    row("--json 1 -H 'Content-Type: application/x' https://HOST/"),
    row("-X PATCH --json 1 https://HOST/"),
    row("-X GET -d a=1 https://HOST/"),
    row("-H Expect: -T data.txt https://HOST/"),
    row("-H Expect: -T data.txt https://HOST/dir/"),
    row("-H Expect: -T data.txt https://HOST/dir/name"),
    row("-H Expect: -T data.txt -X POST -H 'Content-Type: text/plain' https://HOST/n"),
    row("-T data.txt https://HOST/").differs(&[Aspect::Requests], EXPECT),
    row("-T - https://HOST/from-stdin").stdin("from stdin\n"),
    row("-F a=1 -F 'b=2;type=application/json' https://HOST/"),
    row("-F f=@data.txt -F f=@page.html -F 'f=<data.txt' https://HOST/"),
    row(
        r#"-F 'f=@page.html;type=text/x;charset=utf-8;filename="o;ther"' -F 'f=@"a;b,c.bin"' https://HOST/"#,
    ),
    row(r#"-F 'a="x;y"' --form-string b=@x;y -F 'c"=<-' https://HOST/"#).stdin("from stdin\n"),
    row("-F 'a=1;filename=b.png' -F 'c=;filename=d' https://HOST/"),
    row("-d a=1 https://HOST/echo"),
    row("-d @missing https://HOST/").exits(26).differs(
        &[Aspect::Code, Aspect::Requests, Aspect::Stdout],
        "a file that cannot be read is an error (in curl since version 8, too); nothing is sent",
    ),
    row("-F f=@missing https://HOST/").exits(26),
    row("-T missing https://HOST/").exits(26),
    row("-d a -F b=c https://HOST/").exits(2),
    row("-I -d a https://HOST/").exits(2),
];
