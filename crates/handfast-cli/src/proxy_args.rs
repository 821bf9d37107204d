//! Which proxy servers are reached through: flags as curl has them, and the variables of the
//! environment that everybody's tools read.

use std::env;

use handfast::Explanation;
use handfast_dial::proxy::{Credentials, Proxy, ProxyProtocol};

use crate::failure::{Failure, code};
use crate::passphrase::{PassphraseSource, or_prompt};
use crate::secret::Secret;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Proxy")]
pub(crate) struct ProxyArgs {
    /// Proxy to connect through: http:// (CONNECT), https:// (the same over TLS; get only), socks5://, or socks5h:// (the proxy resolves names), socks4://, socks4a://; "" for none [default: the variable https_proxy or all_proxy]
    #[arg(short = 'x', long, value_name = "[SCHEME://]HOST[:PORT]", overrides_with_all = SOCKS)]
    proxy: Option<String>,
    /// The same as --proxy socks5://HOST: names are resolved here
    #[arg(long, value_name = "HOST[:PORT]", overrides_with_all = SOCKS)]
    socks5: Option<String>,
    /// The same as --proxy socks5h://HOST: the proxy resolves names
    #[arg(long, value_name = "HOST[:PORT]", overrides_with_all = SOCKS)]
    socks5_hostname: Option<String>,
    /// The same as --proxy socks4://HOST: names are resolved here
    #[arg(long, value_name = "HOST[:PORT]", overrides_with_all = SOCKS)]
    socks4: Option<String>,
    /// The same as --proxy socks4a://HOST: the proxy resolves names
    #[arg(long, value_name = "HOST[:PORT]", overrides_with_all = SOCKS)]
    socks4a: Option<String>,
    /// SOCKS proxy through which the proxy itself is reached
    #[arg(long, value_name = "[SCHEME://]HOST[:PORT]")]
    preproxy: Option<String>,
    /// Hosts to reach without the proxy: domains, addresses, networks, `*` [default: the variable no_proxy]
    #[arg(long, value_name = "HOSTS")]
    noproxy: Option<String>,
    /// User name for the proxy, and its password unless given by --proxy-password or at the prompt
    #[arg(short = 'U', long, value_name = "USER[:PASSWORD]")]
    proxy_user: Option<Secret>,
    /// Source of the proxy password: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "proxy_user")]
    proxy_password: Option<PassphraseSource>,
}

/// Of these the last one counts, as in curl.
const SOCKS: [&str; 5] = ["proxy", "socks5", "socks5_hostname", "socks4", "socks4a"];

impl ProxyArgs {
    /// The proxy that was meant, if any.
    pub(crate) fn proxy(&self) -> Result<Option<Proxy>, Failure> {
        self.proxy_of(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
    }

    /// The proxy for URLs of the scheme http. `HTTP_PROXY` does not count, as for curl: a CGI script would take it from a
    /// header field of its client.
    pub(crate) fn proxy_of_http(&self) -> Result<Option<Proxy>, Failure> {
        self.proxy_of(&["http_proxy", "all_proxy", "ALL_PROXY"])
    }

    /// The proxy of the arguments, or of the first of these variables that is set.
    fn proxy_of(&self, variables: &[&str]) -> Result<Option<Proxy>, Failure> {
        let (text, origin) = match self.given() {
            Some(given) => given,
            None => match first_set(variables) {
                Some((name, text)) => (text, format!("the variable {name}")),
                None => (String::new(), String::new()),
            },
        };
        let first = match &self.preproxy {
            Some(text) if !text.is_empty() => {
                Some(parse(&by_scheme("socks4", text), "--preproxy")?)
            }
            _ => None,
        };
        let is_socks =
            |proxy: &Proxy| !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
        if first.as_ref().is_some_and(|first| !is_socks(first)) {
            return Err(Failure::usage(
                "--preproxy is not a SOCKS proxy",
                "write it as socks5h://proxy.example:1080",
            ));
        }
        let bypass = match &self.noproxy {
            Some(hosts) => hosts.clone(),
            None => {
                first_set(&["no_proxy", "NO_PROXY"]).map_or_else(String::new, |(_, hosts)| hosts)
            }
        };
        if text.is_empty() {
            // As in curl, a proxy before none is the proxy.
            return Ok(first.map(|first| first.bypassing(&bypass)));
        }
        let mut proxy = parse(&text, &origin)?.bypassing(&bypass);
        if let Some(credentials) = self.credentials(&proxy)? {
            proxy = proxy.with_credentials(credentials);
        }
        if let Some(first) = first {
            proxy = proxy.after(first);
        }
        Ok(Some(proxy))
    }

    /// The proxy of the arguments, and which of them has it.
    fn given(&self) -> Option<(String, String)> {
        if let Some(text) = &self.proxy {
            return Some((text.clone(), "--proxy".to_owned()));
        }
        let socks = [
            (&self.socks5, "socks5", "--socks5"),
            (&self.socks5_hostname, "socks5h", "--socks5-hostname"),
            (&self.socks4, "socks4", "--socks4"),
            (&self.socks4a, "socks4a", "--socks4a"),
        ];
        socks.into_iter().find_map(|(text, scheme, option)| {
            let text = text.as_ref()?;
            Some((by_scheme(scheme, text), option.to_owned()))
        })
    }

    fn credentials(&self, proxy: &Proxy) -> Result<Option<Credentials>, Failure> {
        let Some(Secret(given)) = &self.proxy_user else {
            return Ok(None);
        };
        let (user, password) = match given.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (given.as_str(), None),
        };
        if let (Some(password), None) = (password, &self.proxy_password) {
            return Ok(Some(Credentials::basic(user, password)));
        }
        let source = or_prompt(self.proxy_password.clone()).ok_or_else(|| {
            Failure::usage(
                "there is no password for the proxy",
                "give it by --proxy-password SOURCE, or behind the name and a colon",
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

/// With this scheme, unless it has one.
fn by_scheme(scheme: &str, text: &str) -> String {
    match text.is_empty() || text.contains("://") {
        true => text.to_owned(),
        false => format!("{scheme}://{text}"),
    }
}

fn parse(text: &str, origin: &str) -> Result<Proxy, Failure> {
    Proxy::parse(text).map_err(|problem| {
        Failure::usage(
            format!("{origin}: {problem}"),
            "write it as http://proxy.example:3128 or socks5h://proxy.example:1080",
        )
    })
}

/// The first of these variables that says something, as for curl, and what it says.
fn first_set(names: &[&str]) -> Option<(String, String)> {
    names.iter().find_map(|name| {
        let text = env::var(name).ok().filter(|text| !text.is_empty())?;
        Some(((*name).to_owned(), text))
    })
}
