//! Makes a server context from the arguments: identity, client authentication, versions.

use std::net::SocketAddr;
use std::path::PathBuf;

use handfast::{
    CertificateFacts, ClientAuth, Identity, KeyLog, Passphrase, RevocationLists, ServerContext,
    TlsVersion, TrustAnchors,
};
use handfast_ca::{Authority, InitOptions, IssueRequest};
use handfast_https::server::ALPN;

use super::args::{Args, Demand};
use super::lists::Lists;
use super::warnings;
use crate::clock::unix_now;
use crate::data_dir;
use crate::failure::Failure;
use crate::output;
use crate::passphrase;
use crate::trust_args::tell_trust_problems;

/// A context, and what clients need to trust it.
pub(super) struct Prepared {
    pub(super) context: ServerContext,
    /// The template for the next context, when a list has changed.
    pub(super) template: Template,
    /// The revocation lists that clients are checked against.
    pub(super) lists: Lists,
    /// The local authority, if it issued the certificate.
    pub(super) authority: Option<Trusted>,
    /// The server's certificate.
    pub(super) facts: CertificateFacts,
}

/// All inputs of a context except the lists.
pub(super) struct Template {
    identity: Identity,
    versions: Vec<TlsVersion>,
    clients: ClientAuth,
    depth: Option<usize>,
    key_log: Option<KeyLog>,
}

impl Template {
    /// A context with these lists, which replaces another.
    pub(super) fn build(
        &self,
        lists: RevocationLists,
        predecessor: Option<&ServerContext>,
    ) -> Result<ServerContext, handfast::Error> {
        let mut builder = ServerContext::builder()
            .identity(self.identity.clone())
            .alpn(ALPN)
            .versions(self.versions.clone())
            .client_auth(self.clients.clone())
            .revocation_lists(lists);
        if let Some(depth) = self.depth {
            builder = builder.chain_depth_max(depth);
        }
        if let Some(log) = &self.key_log {
            builder = builder.key_log(log.clone());
        }
        if let Some(predecessor) = predecessor {
            builder = builder.succeeding(predecessor);
        }
        builder.build()
    }
}

/// The local authority's certificate.
pub(super) struct Trusted {
    pub(super) file: PathBuf,
    /// Whether `handfast get` trusts it by default.
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
    let (clients, own) = client_auth(args)?;
    let (lists, look) = Lists::read(&args.clients.crl, own, args.clients.crl_expired.into())?;
    for warning in look.warnings {
        output::warning(warning);
    }
    let key_log = match &args.tls.key_log {
        Some(path) => {
            output::warning("--key-log: with this file, all traffic from now on can be decrypted");
            Some(KeyLog::to_file(path)?)
        }
        None => None,
    };
    let template = Template {
        identity,
        versions: versions(args),
        clients,
        depth: args.clients.depth,
        key_log,
    };
    Ok(Prepared {
        context: template.build(lists.in_use(), None)?,
        template,
        lists,
        authority,
        facts,
    })
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

/// A certificate for this machine's local names, from the local authority, which is created if needed.
fn local_identity(args: &Args, listen: &[SocketAddr]) -> Result<(Identity, Trusted), Failure> {
    let is_default = args.identity.ca_dir.is_none();
    let directory = data_dir::ca_dir(args.identity.ca_dir.clone())?;
    let (authority, made) = Authority::open_or_init(&directory, &InitOptions::default())?;
    if made {
        output::note(format!(
            "created a local certificate authority in {}: it can sign only for local names",
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

/// Client authentication, and the local authority if clients need its certificates.
fn client_auth(args: &Args) -> Result<(ClientAuth, Option<Authority>), Failure> {
    let Some(file) = &args.clients.client_ca else {
        return Ok((ClientAuth::None, None));
    };
    let own = data_dir::own_authority(file, args.identity.ca_dir.clone())?;
    let certificate = own.as_ref().map(Authority::certificate_file);
    let anchors = TrustAnchors::empty()
        .with_file(certificate.as_ref().unwrap_or(file))
        .map_err(handfast::Error::from)?;
    tell_trust_problems(&anchors);
    let demand = match args.clients.client_auth {
        Demand::Optional => ClientAuth::Optional(anchors),
        Demand::Required => ClientAuth::Required(anchors),
    };
    Ok((demand, own))
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
