//! From arguments to a server context: identity, demands on clients, versions.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use handfast::{
    CertificateFacts, ClientAuth, Identity, KeyLog, Passphrase, RevocationLists, ServerContext,
    TlsVersion, TrustAnchors,
};
use handfast_ca::{Authority, InitOptions, IssueRequest};
use handfast_https::server::ALPN;

use super::{Args, Demand, warnings};
use crate::data_dir;
use crate::failure::Failure;
use crate::output;
use crate::passphrase;

/// As the value of `--client-ca`: the local authority.
const LOCAL: &str = "local";

/// A context, and what clients need to trust it.
pub(super) struct Prepared {
    pub(super) context: ServerContext,
    /// The local authority, when it issued the certificate.
    pub(super) authority: Option<Trusted>,
    /// The certificate that is shown to clients.
    pub(super) facts: CertificateFacts,
}

/// The local authority's certificate.
pub(super) struct Trusted {
    pub(super) file: PathBuf,
    /// Does `handfast get` trust it without being told?
    pub(super) is_default: bool,
}

pub(super) fn prepare(args: &Args, listen: &[SocketAddr]) -> Result<Prepared, Failure> {
    let (identity, authority) = match &args.identity.cert {
        Some(chain) => {
            let identity = given_identity(args, chain)?;
            let served = identity.chain().len();
            for warning in warnings::about(identity.facts(), served, unix_now()) {
                output::warning(warning);
            }
            (identity, None)
        }
        None => {
            let (identity, trusted) = local_identity(args, listen)?;
            (identity, Some(trusted))
        }
    };
    let facts = identity.facts().clone();
    let mut builder = ServerContext::builder()
        .identity(identity)
        .alpn(ALPN)
        .versions(versions(args))
        .client_auth(client_auth(args)?)
        .revocation_lists(revocation_lists(args)?);
    if let Some(depth) = args.clients.depth {
        builder = builder.chain_depth_max(depth);
    }
    if let Some(path) = &args.tls.key_log {
        output::warning(
            "--key-log: whoever reads that file can decrypt what is served from now on",
        );
        builder = builder.key_log(KeyLog::to_file(path)?);
    }
    Ok(Prepared {
        context: builder.build()?,
        authority,
        facts,
    })
}

fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or(0)
}

fn given_identity(args: &Args, chain: &PathBuf) -> Result<Identity, Failure> {
    let key = args.identity.key.as_ref().unwrap_or(chain);
    let passphrase = match passphrase::or_prompt(args.identity.pass.clone()) {
        None => Passphrase::none(),
        Some(source) => {
            let what = key.display().to_string();
            Passphrase::ask(move |_| source.read(&what))
        }
    };
    Identity::from_files(chain, key, passphrase)
        .map_err(|error| handfast::Error::from(error).into())
}

/// A certificate for this machine's own names, from the authority that is made if need be.
fn local_identity(args: &Args, listen: &[SocketAddr]) -> Result<(Identity, Trusted), Failure> {
    let is_default = args.identity.ca_dir.is_none();
    let directory = data_dir::ca_dir(args.identity.ca_dir.clone())?;
    let (authority, made) = Authority::open_or_init(&directory, &InitOptions::default())?;
    if made {
        output::note(format!(
            "made a local certificate authority in {}: it can sign for local names only",
            directory.display()
        ));
    }
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for address in listen {
        let name = address.ip().to_string();
        if !address.ip().is_unspecified() && !names.contains(&name) {
            names.push(name);
        }
    }
    let (issued, _) = authority.issue_or_reuse(&IssueRequest::server(names))?;
    let identity = Identity::from_files(&issued.chain_file, &issued.key_file, Passphrase::none())
        .map_err(|error| Failure::from(handfast::Error::from(error)))?;
    let trusted = Trusted {
        file: authority.certificate_file(),
        is_default,
    };
    Ok((identity, trusted))
}

fn client_auth(args: &Args) -> Result<ClientAuth, Failure> {
    let Some(file) = &args.clients.client_ca else {
        return Ok(ClientAuth::None);
    };
    let local;
    let file = if file.as_os_str() == LOCAL {
        local = local_authority_file(args)?;
        &local
    } else {
        file
    };
    let anchors = TrustAnchors::empty()
        .with_file(file)
        .map_err(handfast::Error::from)?;
    Ok(match args.clients.client_auth {
        Demand::Optional => ClientAuth::Optional(anchors),
        Demand::Required => ClientAuth::Required(anchors),
    })
}

/// The certificate of the local authority, which must have been made before.
fn local_authority_file(args: &Args) -> Result<PathBuf, Failure> {
    let directory = data_dir::ca_dir(args.identity.ca_dir.clone())?;
    Ok(Authority::open(&directory)?.certificate_file())
}

fn revocation_lists(args: &Args) -> Result<RevocationLists, Failure> {
    let mut lists = RevocationLists::none();
    for file in &args.clients.crl {
        lists = lists.with_file(file)?;
    }
    Ok(lists)
}

fn versions(args: &Args) -> Vec<TlsVersion> {
    if args.tls.tlsv1_3 {
        vec![TlsVersion::Tls13]
    } else if args.tls.tls_max.as_deref() == Some("1.2") {
        vec![TlsVersion::Tls12]
    } else {
        vec![TlsVersion::Tls12, TlsVersion::Tls13]
    }
}
