//! Which proxy servers are reached through: flags as curl has them, and the variables of the
//! environment that everybody's tools read.

use std::env;

use handfast::Explanation;
use handfast_dial::proxy::{Credentials, Proxy};

use crate::failure::{Failure, code};
use crate::passphrase::{PassphraseSource, or_prompt};
use crate::secret::Secret;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proxy")]
pub(crate) struct ProxyArgs {
    /// Proxy to connect through: http:// (CONNECT), https:// (the same over TLS; get only), socks5://, or socks5h:// (the proxy resolves names); "" for none [default: the variable https_proxy or all_proxy]
    #[arg(short = 'x', long, value_name = "[SCHEME://]HOST[:PORT]")]
    proxy: Option<String>,
    /// Hosts to reach without the proxy: domains, addresses, networks, `*` [default: the variable no_proxy]
    #[arg(long, value_name = "HOSTS")]
    noproxy: Option<String>,
    /// User name for the proxy, and its password unless given by --proxy-pass or at the prompt
    #[arg(short = 'U', long, value_name = "USER[:PASSWORD]")]
    proxy_user: Option<Secret>,
    /// Source of the proxy password: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "proxy_user")]
    proxy_pass: Option<PassphraseSource>,
}

impl ProxyArgs {
    /// The proxy that was meant, if any.
    pub(crate) fn proxy(&self) -> Result<Option<Proxy>, Failure> {
        let (text, origin) = match &self.proxy {
            Some(text) => (text.clone(), "--proxy".to_owned()),
            None => match first_set(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]) {
                Some((name, text)) => (text, format!("the variable {name}")),
                None => return Ok(None),
            },
        };
        if text.is_empty() {
            return Ok(None);
        }
        let bypass = match &self.noproxy {
            Some(hosts) => hosts.clone(),
            None => {
                first_set(&["no_proxy", "NO_PROXY"]).map_or_else(String::new, |(_, hosts)| hosts)
            }
        };
        let proxy = Proxy::parse(&text).map_err(|problem| {
            Failure::usage(
                format!("{origin}: {problem}"),
                "write it as http://proxy.example:3128 or socks5h://proxy.example:1080",
            )
        })?;
        let proxy = proxy.bypassing(&bypass);
        Ok(Some(match self.credentials(&proxy)? {
            Some(credentials) => proxy.with_credentials(credentials),
            None => proxy,
        }))
    }

    fn credentials(&self, proxy: &Proxy) -> Result<Option<Credentials>, Failure> {
        let Some(Secret(given)) = &self.proxy_user else {
            return Ok(None);
        };
        let (user, password) = match given.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (given.as_str(), None),
        };
        if let (Some(password), None) = (password, &self.proxy_pass) {
            return Ok(Some(Credentials::basic(user, password)));
        }
        let source = or_prompt(self.proxy_pass.clone()).ok_or_else(|| {
            Failure::usage(
                "there is no password for the proxy",
                "give it by --proxy-pass SOURCE, or behind the name and a colon",
            )
        })?;
        let password = source
            .read(&format!("the proxy {proxy}"))
            .map_err(|error| {
                let what = format!(
                    "the password for the proxy cannot be had from {}",
                    source.describe()
                );
                let explanation = Explanation::new("passphrase-unavailable", what);
                Failure::new(code::USAGE, explanation.with_evidence(error.to_string()))
            })?;
        Ok(Some(Credentials::basic(user, &password)))
    }
}

/// The first of these variables that says something, as for curl, and what it says.
fn first_set(names: &[&str]) -> Option<(String, String)> {
    names.iter().find_map(|name| {
        let text = env::var(name).ok().filter(|text| !text.is_empty())?;
        Some(((*name).to_owned(), text))
    })
}
