//! `-w`.

use super::super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("-w '%{http_code} %{response_code} %{num_redirects} %{redirect_url}' https://HOST/redirect/302?/b"),
    row("-L -w '%{http_code} %{num_redirects} [%{redirect_url}] %{url} %{url_effective}' https://HOST/redirect/302?/b?q=1"),
    row("-L -w '%{size_download} %{size_header} %{num_headers} %{num_connects} %{urlnum}' https://HOST/redirect/302?/fields"),
    row("-L -w '%{http_version} %{scheme} %{method} %{exitcode} %{content_type} %{remote_ip}' https://HOST/redirect/302?/b"),
    row("-L -w '%header{x-two}|%header{absent}|%%|\\n\\t\\q%{ssl_verify_result}%{num_certs}%{|' https://HOST/redirect/302?/fields"),
    row("-d abc -e https://r/ -w '%{size_upload} %{referer} %{method} %{local_ip}' https://HOST/"),
    row("-o /dev/null -w '%{filename_effective} %{http_connect} %{proxy_ssl_verify_result}' https://HOST/"),
    row("-w 'a%{onerror}b' https://HOST/"),
    row("-s -f -w '%{stderr}to stderr %{stdout}to stdout' https://HOST/status/404").exits(22),
    row("-s -w '%{http_code} %{exitcode} %{size_download} %{num_connects} %{ssl_verify_result}\\n' https://HOST/cut https://REFUSED/").exits(7),
    row("-s -w '%{ssl_verify_result}' https://STRANGER/").exits(60),
    row("-w @format https://HOST/"),
    row("-w @- https://HOST/").stdin("%{http_code}"),
    row("-O -w '%{filename_effective}\\n' https://HOST/named/x"),
    row("-OJ -w '%{filename_effective}\\n' https://HOST/named/x"),
    row("-w '%{header_json}' -o /dev/null https://HOST/fields"),
    row("-w ':%{remote_port}' https://HOST/"),
    row("-I -w '%{http_code} %{size_download}\\n' https://HOST/"),
    row("-s -w '%{errormsg}' https://HOST/"),
    row("-w '%{unknown}x' https://HOST/"),
    row("-s -w '%{http_version}\\n' -o /dev/null https://NGINX/page.html"),
];
