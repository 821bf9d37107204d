//! From arguments to a client: trust, identity, versions, limits.

use handfast::{
    ClientContext, Explanation, Identity, KeyLog, Passphrase, RevocationLists, TlsVersion,
    TrustAnchors,
};
use handfast_https::client::{ALPN, Client};

use super::arguments::{Args, Trust};
use super::watch;
use crate::data_dir::local_ca_certificate;
use crate::failure::{Failure, code};
use crate::output;
use crate::passphrase::or_prompt;

pub(super) fn client(args: &Args) -> Result<Client, Failure> {
    let connection = &args.connection;
    let mut builder = ClientContext::builder()
        .trust(trust(&args.trust)?)
        .revocation_lists(revocation_lists(&args.trust)?)
        .versions(versions(args));
    builder = if connection.http1_1 {
        builder.alpn([ALPN[1]])
    } else {
        builder.alpn(ALPN)
    };
    for pin in &args.trust.pin {
        builder = builder.pin(*pin);
    }
    if let Some(identity) = identity(&args.trust)? {
        builder = builder.identity(identity);
    }
    if let Some(path) = &connection.key_log {
        builder = builder.key_log(KeyLog::to_file(path)?);
    }
    if args.trust.insecure {
        output::warning(
            "--insecure: the server's certificate is NOT verified; anybody on the path can read \
             and change what is sent",
        );
        builder = builder.danger().accept_any_certificate();
    }
    let mut client = Client::builder(builder.build()?)
        .total_max(connection.max_time)
        .probes(!connection.no_probe)
        .connect_max(connection.connect_timeout);
    if let Some(limit) = args.redirects_max() {
        client = client.redirects_max(limit);
    }
    for fixed in &connection.resolve {
        for address in &fixed.addresses {
            client = client.resolve(&fixed.host, fixed.port, *address);
        }
    }
    if let Some(proxy) = args.proxy.proxy()? {
        client = client.proxy(proxy);
    }
    if args.is_verbose() {
        client = client.observer(watch::event);
    }
    Ok(client.build())
}

fn trust(args: &Trust) -> Result<TrustAnchors, Failure> {
    let mut anchors = if args.only_cacert {
        TrustAnchors::empty()
    } else {
        with_local_ca(TrustAnchors::platform())
    };
    for file in &args.cacert {
        anchors = anchors.with_file(file).map_err(handfast::Error::from)?;
    }
    Ok(anchors)
}

/// The local authority is bound by name constraints: trusting it cannot harm any other name.
fn with_local_ca(anchors: TrustAnchors) -> TrustAnchors {
    let Some(file) = local_ca_certificate() else {
        return anchors;
    };
    match anchors.clone().with_file(&file) {
        Ok(more) => more,
        Err(error) => {
            let why = handfast::Error::from(error).explain();
            output::warning(format!("the local authority is not trusted: {}", why.what));
            anchors
        }
    }
}

fn revocation_lists(args: &Trust) -> Result<RevocationLists, Failure> {
    let mut lists = RevocationLists::none();
    for file in &args.crl {
        lists = lists.with_file(file).map_err(|error| {
            let mut explanation = Explanation::new(error.problem.id(), error.to_string());
            explanation = explanation.with_evidence(error.problem.to_string());
            Failure::new(code::CA_FILE, explanation)
        })?;
    }
    Ok(lists)
}

fn identity(args: &Trust) -> Result<Option<Identity>, Failure> {
    let Some(chain) = &args.cert else {
        return Ok(None);
    };
    let passphrase = match or_prompt(args.pass.clone()) {
        Some(source) => Passphrase::ask(move |request| source.read(&request.to_string())),
        None => Passphrase::none(),
    };
    let identity = match &args.key {
        Some(key) => Identity::from_files(chain, key, passphrase),
        None => Identity::from_file(chain, passphrase),
    };
    identity
        .map(Some)
        .map_err(|error| handfast::Error::from(error).into())
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
