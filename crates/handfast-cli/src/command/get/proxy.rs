//! Proxies beyond what commands share: those that are reached over TLS, with trust and an identity of their own.

use std::path::PathBuf;

use handfast::{ClientContext, Identity, Passphrase, TrustAnchors};
use handfast_dial::proxy::ProxyProtocol;
use handfast_https::client::ClientBuilder;

use crate::failure::Failure;
use crate::output;
use crate::passphrase::or_prompt;
use crate::proxy_args::ProxyArgs;
use crate::trust_args::with_files;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proxy")]
pub(super) struct ProxyTlsArgs {
    /// For a proxy with https://: trust only the certificates in FILE (repeatable)
    #[arg(long, value_name = "FILE")]
    proxy_cacert: Vec<PathBuf>,
    /// For a proxy with https://: do not verify its certificate
    #[arg(long)]
    proxy_insecure: bool,
    /// For a proxy with https://: certificate chain, sent if the proxy requests one
    #[arg(long, value_name = "FILE")]
    proxy_cert: Option<PathBuf>,
    /// For a proxy with https://: private key, if it is not in the same file as --proxy-cert
    #[arg(long, value_name = "FILE", requires = "proxy_cert")]
    proxy_key: Option<PathBuf>,
    /// Send this header field to the proxy, `Name: value` (repeatable)
    #[arg(long, value_name = "FIELD", value_parser = field)]
    proxy_header: Vec<(String, String)>,
    /// Ask HTTP proxies for a tunnel, as is always done
    #[arg(short = 'p', long, hide = true)]
    proxytunnel: bool,
}

impl ProxyTlsArgs {
    /// The client that connects through the proxy, if there is one.
    pub(super) fn apply(
        &self,
        shared: &ProxyArgs,
        mut client: ClientBuilder,
    ) -> Result<ClientBuilder, Failure> {
        let Some(mut proxy) = shared.proxy()? else {
            return Ok(client);
        };
        for (name, value) in &self.proxy_header {
            proxy = proxy.with_header(name, value);
        }
        if proxy.protocol() == ProxyProtocol::Https {
            client = client.proxy_context(self.context()?);
        }
        Ok(client.proxy(proxy))
    }

    fn context(&self) -> Result<ClientContext, Failure> {
        let mut builder = ClientContext::builder();
        if let Some(chain) = &self.proxy_cert {
            let passphrase = match or_prompt(None) {
                Some(source) => Passphrase::ask(move |request| source.read(&request.to_string())),
                None => Passphrase::none(),
            };
            let key = self.proxy_key.as_ref().unwrap_or(chain);
            let identity = Identity::from_files(chain, key, passphrase);
            builder = builder.identity(identity.map_err(handfast::Error::from)?);
        }
        if self.proxy_insecure {
            output::warning("--proxy-insecure: the proxy's certificate is NOT verified");
            return Ok(builder.danger().accept_any_certificate().build()?);
        }
        let anchors = match self.proxy_cacert.as_slice() {
            [] => TrustAnchors::platform(),
            files => with_files(TrustAnchors::empty(), files)?,
        };
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
