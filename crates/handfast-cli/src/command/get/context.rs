//! From arguments to a client: trust, identity, versions, limits.

use handfast::{Report, Timeouts, TrustAnchors};
use handfast_https::client::{ALPN, Client, CookieJar, Event};

use super::arguments::Args;
use super::watch;
use crate::failure::Failure;
use crate::output;
use crate::trust_args::{Limit, key_log, objection, warn_of_insecure};

pub(super) fn client(args: &Args, jar: Option<&CookieJar>) -> Result<Client, Failure> {
    let connection = &args.connection;
    let show = |anchors: &TrustAnchors| {
        if args.is_verbose() {
            watch::trust(&anchors.sources());
        }
    };
    let tells_objections = args.trust.insecure && !args.is_silent();
    if args.trust.insecure {
        // Also with `-s`: who sends a secret this way should know.
        warn_of_insecure();
    }
    let mut builder = args.offer.apply(args.trust.judging_builder(show)?)?;
    builder = if connection.http1_1 {
        builder.alpn([ALPN[1]])
    } else {
        builder.alpn(ALPN)
    };
    if args.trust.insecure {
        // A resumed session shows no certificate to judge.
        builder = builder.resumption(false);
    }
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
    if let Some(is_allowed) = args.protocols.redirects_to_http() {
        client = client.redirects_to_http(is_allowed);
    }
    client = client
        .redirects_keep_post(args.redirects_with_post())
        .redirects_keep_credentials(args.trusts_redirects())
        .redirects_set_referer(args.sets_referer());
    client = connection.apply(client);
    client = args.proxy_tls.apply(
        &args.proxy,
        client,
        args.agent(),
        args.protocols.allows_http(),
    )?;
    client = args.receiving.limit(client);
    if let Some(jar) = jar {
        client = client.cookies(jar.clone());
    }
    let is_verbose = args.is_verbose();
    if is_verbose || tells_objections {
        client = client.observer(move |event| {
            if is_verbose {
                watch::event(event);
            }
            if let Event::Secured { report } = event
                && tells_objections
            {
                tell_objection(report);
            }
        });
    }
    Ok(client.build())
}

/// With `--insecure`: what verification would have said.
fn tell_objection(report: &Report) {
    if let Some(objection) = objection(report) {
        output::warning(format!(
            "--insecure: verification would have refused the server: {objection}"
        ));
    }
}
