//! The target of a session.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use handfast::escape_control;
use handfast_dial::StartTls;

/// `HOST:PORT`, `unix:PATH`, `exec:COMMAND`, `serial:DEVICE[,SPEED]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The host without brackets. The port may be the default of the `--starttls` protocol.
    Tcp {
        host: String,
        port: Option<u16>,
    },
    Unix(PathBuf),
    /// A shell command.
    Exec(String),
    /// Without a speed, the line's current one is kept.
    Serial {
        device: PathBuf,
        speed: Option<u32>,
    },
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return given(path, "a path").map(|path| Self::Unix(path.into()));
        }
        if let Some(command) = text.strip_prefix("exec:") {
            return given(command, "a command").map(|command| Self::Exec(command.to_owned()));
        }
        if let Some(line) = text.strip_prefix("serial:") {
            let (device, speed) = match line.rsplit_once(',') {
                Some((device, speed)) => {
                    let speed = speed.parse().ok().filter(|speed| *speed > 0);
                    let speed = speed.ok_or("the speed is a number such as 115200")?;
                    (device, Some(speed))
                }
                None => (line, None),
            };
            let device = given(device, "a device")?.into();
            return Ok(Self::Serial { device, speed });
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return url(scheme, rest);
        }
        tcp(text).ok_or_else(|| {
            "expected HOST:PORT (an IPv6 address in brackets), unix:PATH, exec:COMMAND or \
             serial:DEVICE[,SPEED]"
                .to_owned()
        })
    }
}

impl Target {
    /// Adds a port given as a separate argument, as for `telnet` and `nc`.
    pub(super) fn with_port(self, added: u16) -> Result<Self, String> {
        match self {
            Self::Tcp { host, port: None } => Ok(Self::Tcp {
                host,
                port: Some(added),
            }),
            Self::Tcp { port: Some(_), .. } => Err(format!(
                "`{self}` has a port already, and {added} was given, too"
            )),
            _ => Err(format!(
                "`{self}` is not a host, so a port ({added}) cannot be given"
            )),
        }
    }
}

/// The origin of an `https` URL; other parts of a URL do not apply to a channel.
fn url(scheme: &str, rest: &str) -> Result<Target, String> {
    const HTTPS_PORT: u16 = 443;
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(format!(
            "{}:// URLs are not supported, only https://; write HOST:PORT{}",
            escape_control(scheme),
            match scheme.parse::<StartTls>() {
                Ok(protocol) => format!(" --starttls {}", protocol.name()),
                Err(_) => String::new(),
            }
        ));
    }
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains(['/', '?', '#']) {
        return Err("connect does not request a path; to fetch a URL, use handfast get".to_owned());
    }
    if authority.contains('@') {
        return Err("a user name is not supported".to_owned());
    }
    match tcp(authority) {
        Some(Target::Tcp { host, port }) => Ok(Target::Tcp {
            host,
            port: port.or(Some(HTTPS_PORT)),
        }),
        _ => Err("expected https://HOST[:PORT]".to_owned()),
    }
}

fn given<'t>(text: &'t str, what: &str) -> Result<&'t str, String> {
    if text.is_empty() {
        Err(format!("{what} is missing"))
    } else {
        Ok(text)
    }
}

fn tcp(text: &str) -> Option<Target> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return None,
            }
        }
        None => match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return None,
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    let is_host = !host.is_empty() && !host.contains(['/', '@']);
    is_host.then(|| Target::Tcp {
        host: host.to_owned(),
        port,
    })
}

/// Safe to print.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Tcp { host, port } => {
                return f.write_str(&escape_control(&authority(host, *port)));
            }
            Self::Unix(path) => format!("unix:{}", path.display()),
            Self::Exec(command) => format!("exec:{command}"),
            Self::Serial { device, speed } => match speed {
                Some(speed) => format!("serial:{},{speed}", device.display()),
                None => format!("serial:{}", device.display()),
            },
        };
        f.write_str(&escape_control(&text))
    }
}

/// `host:port`, an IPv6 address in brackets.
pub(super) fn authority(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed() {
        for text in [
            "example.org:443",
            "example.org",
            "[::1]:443",
            "[::1]",
            "unix:/run/x.sock",
            "exec:ssh host nc localhost 443",
            "serial:/dev/ttyS0",
            "serial:/dev/ttyS0,115200",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
        for text in [
            "",
            ":443",
            "[]:443",
            "::1:443",
            "[::1]443",
            "example.org:https",
            "example.org:70000",
            "unix:",
            "exec:",
            "serial:",
            "serial:,9600",
            "serial:/dev/ttyS0,fast",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        for (text, meant) in [
            ("https://example.org", "example.org:443"),
            ("HTTPS://example.org/", "example.org:443"),
            ("https://example.org:8443/", "example.org:8443"),
            ("https://[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), meant);
        }
        for (text, expected) in [
            ("http://example.org", "http://"),
            ("smtp://example.org", "--starttls smtp"),
            ("https://example.org/page", "handfast get"),
            ("https://a@example.org", "user name"),
            ("https://", "https://HOST"),
            ("//example.org", "HOST:PORT"),
        ] {
            let problem = text.parse::<Target>().unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
        let with_port = |text: &str| text.parse::<Target>().unwrap().with_port(25);
        assert_eq!(
            with_port("example.org").unwrap().to_string(),
            "example.org:25"
        );
        assert!(with_port("example.org:443").is_err() && with_port("unix:/x").is_err());
        assert_eq!(
            "exec:a\u{1b}[2J".parse::<Target>().unwrap().to_string(),
            "exec:a\\u{1b}[2J"
        );
    }
}
