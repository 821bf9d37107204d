//! From arguments to a client: trust, identity, versions, limits.

use handfast::{Timeouts, TlsVersion, TrustAnchors};
use handfast_https::client::{ALPN, Client, CookieJar};

use super::arguments::Args;
use super::watch;
use crate::failure::Failure;
use crate::trust_args::{Limit, key_log};

pub(super) fn client(args: &Args, jar: Option<&CookieJar>) -> Result<Client, Failure> {
    let connection = &args.connection;
    let show = |anchors: &TrustAnchors| {
        if args.is_verbose() {
            watch::trust(&anchors.sources());
        }
    };
    let mut builder = args.trust.builder_showing(show)?.versions(versions(args));
    builder = if connection.http1_1 {
        builder.alpn([ALPN[1]])
    } else {
        builder.alpn(ALPN)
    };
    if let Some(log) = key_log(connection.key_log.as_deref())? {
        builder = builder.key_log(log);
    }
    if connection.connect_timeout == Some(Limit(None)) {
        builder = builder.timeouts(Timeouts::NONE);
    }
    let mut client = Client::builder(builder.build()?).probes(!connection.no_probe);
    // A given limit replaces the defaults, also if it is 0 (none).
    if let Some(Limit(limit)) = connection.max_time {
        client = client.total_max(limit).silence_max(None);
    }
    if let Some(Limit(limit)) = connection.connect_timeout {
        client = client.connect_max(limit);
    }
    if let Some(limit) = args.redirects_max() {
        client = client.redirects_max(limit);
    }
    client = client
        .redirects_keep_post(args.redirects_with_post())
        .redirects_keep_credentials(args.trusts_redirects())
        .redirects_set_referer(args.sets_referer());
    for fixed in &connection.resolve {
        for address in &fixed.addresses {
            client = client.resolve(&fixed.host, fixed.port, *address);
        }
    }
    if let Some(proxy) = args.proxy.proxy()? {
        client = client.proxy(proxy);
    }
    if let Some(jar) = jar {
        client = client.cookies(jar.clone());
    }
    if args.is_verbose() {
        client = client.observer(watch::event);
    }
    Ok(client.build())
}

fn versions(args: &Args) -> Vec<TlsVersion> {
    let connection = &args.connection;
    let mut versions = vec![TlsVersion::Tls12, TlsVersion::Tls13];
    if connection.tlsv1_3 && !connection.tlsv1_2 {
        versions.retain(|version| *version == TlsVersion::Tls13);
    }
    if connection.tls_max.as_deref() == Some("1.2") {
        versions.retain(|version| *version == TlsVersion::Tls12);
    }
    versions
}
