//! Certificates, versions, identities.

use super::super::row::{Aspect, Row, row};
use super::PROBE;

pub(super) const ROWS: &[Row] = &[
    row("https://TLS12/"),
    row("--tlsv1.2 https://HOST/"),
    row("--tlsv1.3 https://HOST/"),
    row("-1 https://HOST/"),
    row("--tlsv1.0 https://HOST/"),
    row("--tlsv1.1 https://HOST/"),
    row("--tlsv1 https://HOST/"),
    row("--tls-max 1.2 https://HOST/"),
    row("--tls-max 1.3 https://HOST/"),
    row("--tls-max default https://HOST/"),
    row("--tlsv1.3 https://TLS12/").exits(35),
    row("-s --tls-max 1.2 --ciphers ECDHE-ECDSA-AES256-GCM-SHA384 https://NGINX/tls"),
    row("-s --tls13-ciphers TLS_CHACHA20_POLY1305_SHA256 https://NGINX/tls"),
    row("-s --curves P-384 https://NGINX/tls"),
    row("-s --ciphers ECDHE-ECDSA-AES128-GCM-SHA256 --tls-max 1.2 https://NGINX/tls"),
    row("-s -E client.pem --key client.key https://NGINX/who"),
    row("-s --cert client.pem --key client.key --cert-type PEM --key-type PEM https://NGINX/who"),
    row("-s https://NGINX/who"),
    row("-s --cert client.pem --key locked.key --pass s3:cret https://NGINX/who"),
    row("-s -E client.pem:s3:cret --key locked.key https://NGINX/who"),
    row("-s -E 'a\\:b.pem:s3:cret' https://NGINX/who"),
    row("-s -E both.p12:s3:cret --cert-type P12 https://NGINX/who"),
    row("-s -E both.p12 --cert-type p12 --pass s3:cret https://NGINX/who"),
    row("-s -E both.p12:wrong --cert-type P12 https://NGINX/who").exits(58),
    row("-s -E client.pem --key locked.key --pass wrong https://NGINX/who").exits(58),
    row("-s -E missing.pem https://NGINX/who").exits(58),
    row("-s --cacert ca.pem https://NGINX/page.html"),
    row("--cacert strangers.pem https://HOST/").exits(60),
    row("--cacert strangers.pem https://STRANGER/"),
    row("--cacert missing.pem https://HOST/").exits(77),
    row("--cacert page.html https://HOST/").exits(77),
    row("https://EXPIRED/")
        .exits(60)
        .differs(&[Aspect::Requests], PROBE),
    row("https://MISNAMED/")
        .exits(60)
        .differs(&[Aspect::Requests], PROBE),
    row("https://STRANGER/").exits(60),
    row("CURL_CA_BUNDLE=strangers.pem https://STRANGER/")
        .exits(60)
        .differs(
            &[Aspect::Code, Aspect::Requests, Aspect::Stdout],
            "CURL_CA_BUNDLE is not read; SSL_CERT_FILE is read by both",
        ),
    row("SSL_CERT_FILE=strangers.pem https://STRANGER/"),
    row("-k https://EXPIRED/"),
    row("-k https://MISNAMED/"),
    row("--insecure https://STRANGER/"),
    row("--pinnedpubkey sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= https://HOST/")
        .exits(90),
    row("--pinnedpubkey OWN-PIN https://HOST/"),
    row("-k --pinnedpubkey OWN-PIN https://HOST/"),
    row("--pinnedpubkey own.pub https://HOST/"),
    row("--pinnedpubkey own.pub.der https://HOST/"),
    row("--pinnedpubkey 'ROOT-PIN;OWN-PIN' https://HOST/"),
    row("--pinnedpubkey ROOT-PIN https://HOST/").exits(90),
    row("-k --pinnedpubkey ROOT-PIN https://HOST/").exits(90),
    row("--pinnedpubkey root.pub https://HOST/").exits(90),
    row("--pinnedpubkey ca.pem https://HOST/").exits(90),
    row("-k --pinnedpubkey missing https://HOST/").exits(90),
    row("https://PLAIN/").exits(35),
    row("http://PLAIN/").exits(1).differs(
        &[Aspect::Code, Aspect::Requests, Aspect::Stdout],
        "http:// is refused without --allow-http",
    ),
    row("-s --http2 https://NGINX/page.html"),
    row("-s --http1.1 -w '%{http_version}' https://NGINX/page.html"),
    row("-s --http2 -w '%{http_version}' https://HOST/"),
    row("-sL https://NGINX/old"),
    row("-s -d x -H 'X-One: 1' https://NGINX/echo"),
    row("-s -I https://NGINX/page.html -o /dev/null -w '%{http_code}'"),
    row("-s -r 0-9 https://NGINX/large"),
    row("-s -o large https://NGINX/large"),
    row("-sf https://NGINX/nothing").exits(22),
    row("-s --ssl-reqd --no-npn --tcp-nodelay --no-keepalive --keepalive-time 9 https://HOST/"),
];
