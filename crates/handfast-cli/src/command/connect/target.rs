//! What a session runs over, as typed.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use handfast::escape_control;

/// `HOST:PORT`, `unix:PATH`, `exec:COMMAND`, `serial:DEVICE[,SPEED]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The host without brackets. The port may be left to the protocol of `--starttls`.
    Tcp {
        host: String,
        port: Option<u16>,
    },
    Unix(PathBuf),
    /// For the shell.
    Exec(String),
    /// Without a speed, the line keeps the one that it has.
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
        tcp(text).ok_or_else(|| {
            "expected HOST:PORT, unix:PATH, exec:COMMAND or serial:DEVICE[,SPEED]".to_owned()
        })
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
    (!host.is_empty()).then(|| Target::Tcp {
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
    fn a7_targets_are_read_or_refused() {
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
        assert_eq!(
            "exec:a\u{1b}[2J".parse::<Target>().unwrap().to_string(),
            "exec:a\\u{1b}[2J"
        );
    }
}
