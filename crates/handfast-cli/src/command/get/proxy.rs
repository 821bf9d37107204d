//! Proxies beyond what commands share: those that are reached over TLS, with trust and an identity of their own, and what is
//! sent to proxies.

use std::path::PathBuf;
use std::sync::Arc;

use handfast::ClientContext;
use handfast_dial::proxy::{Proxy, ProxyProtocol};
use handfast_https::client::{ClientBuilder, DigestCredentials};

use super::offer::suites;
use crate::failure::Failure;
use crate::identity_args::{CertificateFile, IdentityArgs, certificate_file, source_or_text};
use crate::output;
use crate::passphrase::PassphraseSource;
use crate::proxy_args::ProxyArgs;
use crate::trust_args::tell_trust_problems;
use crate::verify_args::VerifyArgs;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proxy")]
pub(super) struct ProxyTlsArgs {
    /// For a proxy with https://: trust only the certificates in FILE (repeatable)
    #[arg(long, value_name = "FILE")]
    proxy_cacert: Vec<PathBuf>,
    /// For a proxy with https://: trust only the certificates in the files of DIR (repeatable)
    #[arg(long, value_name = "DIR")]
    proxy_capath: Vec<PathBuf>,
    /// For a proxy with https://: do not verify its certificate
    #[arg(long)]
    proxy_insecure: bool,
    /// For a proxy with https://: require one of these to be its own public key, as --pinnedpubkey
    #[arg(long, value_name = "sha256//BASE64|FILE")]
    proxy_pinnedpubkey: Option<String>,
    /// For a proxy with https://: check certificates against the revocation lists in FILE (repeatable)
    #[arg(long, value_name = "FILE")]
    proxy_crlfile: Vec<PathBuf>,
    /// For a proxy with https://: certificate chain, sent if the proxy requests one; a passphrase may follow a colon
    #[arg(long, value_name = "FILE[:PASS]", value_parser = certificate_file())]
    proxy_cert: Option<CertificateFile>,
    /// For a proxy with https://: private key, if it is not in the same file as --proxy-cert
    #[arg(long, value_name = "FILE", requires = "proxy_cert")]
    proxy_key: Option<PathBuf>,
    /// For a proxy with https://: source of that key's passphrase, or the passphrase itself, as --pass
    #[arg(long, value_name = "SOURCE", requires = "proxy_cert", value_parser = source_or_text)]
    proxy_pass: Option<PassphraseSource>,
    /// For a proxy with https://: TLS 1.2 cipher suites to offer, as --ciphers
    #[arg(long, value_name = "NAMES")]
    proxy_ciphers: Option<String>,
    /// For a proxy with https://: TLS 1.3 cipher suites to offer, as --tls13-ciphers
    #[arg(long, value_name = "NAMES")]
    proxy_tls13_ciphers: Option<String>,
    /// Formats and the earliest version, as curl has them: recognised without
    #[arg(long, value_name = "TYPE", hide = true)]
    proxy_cert_type: Option<String>,
    #[arg(long, value_name = "TYPE", hide = true)]
    proxy_key_type: Option<String>,
    #[arg(long, hide = true)]
    proxy_tlsv1: bool,
    /// Send this header field to the proxy, `Name: value` (repeatable)
    #[arg(long, value_name = "FIELD", value_parser = field)]
    proxy_header: Vec<(String, String)>,
    /// Ask HTTP proxies for a tunnel also for http:// URLs, as for https://
    #[arg(short = 'p', long)]
    proxytunnel: bool,
    /// Send user name and password to the proxy at once (the default)
    #[arg(long)]
    proxy_basic: bool,
    /// Answer the proxy's challenge (Digest) instead of sending the password
    #[arg(long, conflicts_with = "proxy_basic")]
    proxy_digest: bool,
    /// The same; a proxy that asks for Basic and not for Digest gets the password
    #[arg(long)]
    proxy_anyauth: bool,
    /// Of SOCKS5's ways to ask who connects, use that by user name and password, as is always done
    #[arg(long, hide = true)]
    socks5_basic: bool,
}

impl ProxyTlsArgs {
    /// The client that connects through the proxies, if there are any.
    pub(super) fn apply(
        &self,
        shared: &ProxyArgs,
        mut client: ClientBuilder,
        agent: &str,
        allows_http: bool,
    ) -> Result<ClientBuilder, Failure> {
        let complete = |proxy| self.complete(proxy, agent);
        let proxy = shared.proxy()?.map(complete);
        let of_http = match allows_http {
            true => shared.proxy_of_http()?.map(complete),
            false => None,
        };
        let is_over_tls = |proxy: &Proxy| proxy.protocol() == ProxyProtocol::Https;
        if proxy.iter().chain(&of_http).any(is_over_tls) {
            client = client.proxy_context(self.context()?);
        }
        if let Some(proxy) = proxy {
            client = client.proxy(proxy);
        }
        Ok(client.proxy_of_http(of_http).tunnels_http(self.proxytunnel))
    }

    /// The proxy with the fields that it is sent, and the way in which it learns who asks.
    fn complete(&self, mut proxy: Proxy, agent: &str) -> Proxy {
        let fields = &self.proxy_header;
        let has_agent = |(name, _): &(String, String)| name.eq_ignore_ascii_case("user-agent");
        if !agent.is_empty() && !fields.iter().any(has_agent) {
            proxy = proxy.with_header("User-Agent", agent);
        }
        for (name, value) in fields {
            if !value.is_empty() {
                proxy = proxy.with_header(name, value);
            }
        }
        let make: fn(&str, &str) -> DigestCredentials =
            match (self.proxy_anyauth, self.proxy_digest) {
                (true, _) => DigestCredentials::or_basic,
                (_, true) => DigestCredentials::new,
                _ => return proxy,
            };
        let credentials = proxy.credentials().map(|it| make(it.user(), it.password()));
        match credentials {
            Some(credentials) => proxy.with_authenticator(Arc::new(credentials)),
            None => proxy,
        }
    }

    fn context(&self) -> Result<ClientContext, Failure> {
        let identity = IdentityArgs::of_certificate(
            self.proxy_cert.clone(),
            self.proxy_key.clone(),
            self.proxy_pass.clone(),
        );
        let verify = VerifyArgs::of_other(
            (self.proxy_cacert.clone(), self.proxy_capath.clone()),
            self.proxy_pinnedpubkey.clone(),
            self.proxy_crlfile.clone(),
        );
        let mut builder = ClientContext::builder().identities(identity.read()?);
        let suites = suites(
            ("--proxy-ciphers", self.proxy_ciphers.as_deref()),
            ("--proxy-tls13-ciphers", self.proxy_tls13_ciphers.as_deref()),
        )?;
        if !suites.is_empty() {
            builder = builder.cipher_suites(suites);
        }
        builder = verify.limit(builder)?;
        if self.proxy_insecure {
            output::warning("--proxy-insecure: the proxy's certificate is NOT verified");
            return Ok(builder.danger().accept_any_certificate().build()?);
        }
        let anchors = verify.anchors()?;
        tell_trust_problems(&anchors);
        Ok(builder.trust(anchors).build()?)
    }
}

fn field(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("expected `Name: value`".to_owned()),
    }
}
