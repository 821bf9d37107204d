//! Several URLs, at once or one after the other.

use super::super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("'https://HOST/[01-03]'"),
    row("-o '#1_#2' 'https://HOST/{01,02}?[a-b]'"),
    row("-o 'n#1' 'https://HOST/[01-10:4]'"),
    row("-O 'https://HOST/[59-60]'"),
    row("-g 'https://HOST/[01]'"),
    row("-w '%{urlnum} %{http_code} %{num_connects}\\n' 'https://HOST/{01,status/404,02}'"),
    row("-f 'https://HOST/{status/404,01}'"),
    row("-f 'https://HOST/{01,status/404}'").exits(22),
    row("-f --fail-early 'https://HOST/{status/404,01}'").exits(22),
    row("-s -f -Z 'https://HOST/{status/404,01}'").exits(22),
    row("'https://HOST/[3-1]'").exits(3),
    row("'https://HOST/{01'").exits(3),
    row("-sZ -O -O https://HOST/a https://HOST/b"),
    row(
        "-s --parallel --parallel-max 2 --remote-name-all https://HOST/a https://HOST/b https://HOST/c",
    ),
    row("-sZ --parallel-immediate -o a https://HOST/a"),
    row("-d a=1 https://HOST/one --next https://HOST/two"),
    row("-s -I https://HOST/one -: -s https://HOST/two"),
    row("-H 'X-A: 1' https://HOST/one --next -H 'X-B: 2' -d b https://HOST/two"),
    row("https://REFUSED/ https://HOST/"),
    row("https://HOST/ https://REFUSED/").exits(7),
    row("--fail-early https://REFUSED/ https://HOST/").exits(7),
    row("-s -T data.txt -H Expect: 'https://HOST/{a,b}/'"),
    row("-s 'https://NGINX/{page.html,page.html}'"),
];
