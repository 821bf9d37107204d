//! The route to a server: name, addresses, proxy, and the plaintext protocol before TLS.
//!
//! It is determined once, by trying every address; all later connections of one report use it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use handfast::{Phase, Timeouts};
use handfast_dial::proxy::Proxy;
use handfast_dial::{Cause, Dialer, Dialled, Error, Progress, StartTls, refuse_number};

use super::findings::{Live, Tried};
use crate::failure::{Failure, plain};
use crate::tls_at_once;

/// A server that handles one client at a time may refuse the next connection for a moment.
const ATTEMPTS: u32 = 4;

/// The target, and the name to verify.
pub(super) struct Target {
    /// As the user wrote it.
    pub(super) text: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) server_name: String,
    pub(super) starttls: Option<StartTls>,
    /// The proxy, if any.
    pub(super) proxy: Option<Proxy>,
    /// The time limit of each phase.
    pub(super) limit: Duration,
}

/// A route that was found.
pub(super) struct Route<'a> {
    pub(super) target: &'a Target,
    /// The address of the server or the proxy.
    address: SocketAddr,
}

impl Target {
    /// Resolves, connects and starts TLS, recording how long each took.
    pub(super) fn reach(&self, live: &mut Live) -> Result<(Route<'_>, TcpStream), Error> {
        let mut dialer = Dialer::within(&Timeouts::all(self.limit));
        if let Some(proxy) = &self.proxy {
            dialer = dialer.through(proxy.clone());
        }
        let began = Instant::now();
        let dialled = dialer.dial_observed(&self.host, self.port, &mut |progress| match progress {
            Progress::Resolved { took, .. } => live.resolved_in = Some(*took),
            Progress::Tried {
                address,
                took,
                problem,
            } => live.tried.push(Tried {
                address: *address,
                took: *took,
                problem: problem.map(plain),
            }),
            Progress::Proxied { proxy, took, .. } => {
                live.proxied_in = Some(((*proxy).to_owned(), *took));
            }
            _ => {}
        });
        live.resolved_in.get_or_insert_with(|| began.elapsed());
        let Dialled {
            channel, address, ..
        } = dialled?;
        let route = Route {
            target: self,
            address,
        };
        let socket = route.begin(channel, live)?;
        Ok((route, socket))
    }
}

impl Route<'_> {
    /// Another connection, up to the start of TLS.
    pub(super) fn open(&self) -> Result<TcpStream, Error> {
        let mut attempt = 0;
        let socket = loop {
            match TcpStream::connect_timeout(&self.address, self.target.limit) {
                Ok(socket) => break socket,
                Err(error) if attempt + 1 == ATTEMPTS => {
                    return Err(Error::new(Phase::Connect, error));
                }
                Err(_) => {
                    attempt += 1;
                    std::thread::sleep(Duration::from_millis(50 * u64::from(attempt)));
                }
            }
        };
        let target = self.target;
        let mut socket = socket;
        let _ = socket.set_nodelay(true);
        if let Some(proxy) = &target.proxy {
            proxy.tunnel(&mut socket, &target.host, target.port, Some(target.limit))?;
        }
        self.begin(socket, &mut Live::default())
    }

    /// From a channel to the server, up to the start of TLS.
    fn begin(&self, mut socket: TcpStream, live: &mut Live) -> Result<TcpStream, Error> {
        let target = self.target;
        if let Some(protocol) = target.starttls {
            let began = Instant::now();
            self.await_greeting(&socket, protocol)?;
            protocol.negotiate(&mut socket, &target.server_name, Some(target.limit))?;
            live.dialogue_in = Some(began.elapsed());
        }
        Ok(socket)
    }
}

impl Route<'_> {
    /// If the server sends no greeting, probes whether it waits for TLS: a time-out would be reported later, and
    /// would not show the reason.
    fn await_greeting(&self, socket: &TcpStream, protocol: StartTls) -> Result<(), Error> {
        let target = self.target;
        let silence = tls_at_once::silence(protocol, Some(target.port));
        if !protocol.server_speaks_first() || silence >= target.limit || target.proxy.is_some() {
            return Ok(());
        }
        // Errors are reported by the dialogue.
        let _ = socket.set_read_timeout(Some(silence));
        let silent = socket.peek(&mut [0]).is_err_and(|error| {
            matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            )
        });
        let spoken = silent
            && TcpStream::connect_timeout(&self.address, target.limit)
                .is_ok_and(|mut other| tls_at_once::is_spoken(&mut other, &target.server_name));
        match spoken {
            true => Err(protocol.already_tls().into()),
            false => Ok(()),
        }
    }
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT`, a bare IPv6 address, or a whole https URL.
pub(super) fn split(text: &str, default_port: u16) -> Result<(String, u16), Failure> {
    let rest = text.strip_prefix("https://").unwrap_or(text);
    let authority = rest.split('/').next().unwrap_or(rest);
    let wrong = || -> Failure {
        let text = text.to_owned();
        Error::new(Phase::Configure, Cause::Address { text }).into()
    };
    if authority.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((authority.to_owned(), default_port));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(wrong)?;
            (
                host,
                after
                    .strip_prefix(':')
                    .or_else(|| (!after.is_empty()).then_some("?")),
            )
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => port.parse().map_err(|_| wrong())?,
        None => default_port,
    };
    if host.is_empty() {
        return Err(wrong());
    }
    refuse_number(host)?;
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_parsed_in_the_forms_that_users_write() {
        for (text, expected) in [
            ("example.org", Some(("example.org", 443))),
            ("example.org:8443", Some(("example.org", 8443))),
            ("https://example.org/path", Some(("example.org", 443))),
            ("https://example.org:1/a:b", Some(("example.org", 1))),
            ("::1", Some(("::1", 443))),
            ("[::1]", Some(("::1", 443))),
            ("[::1]:8443", Some(("::1", 8443))),
            ("[::1]x", None),
            ("a:b:c", None),
            (":443", None),
            ("a:", None),
            ("8443", None),
            ("127.1:443", None),
            ("a:70000", None),
            ("", None),
        ] {
            let split = split(text, 443).ok();
            let split = split.as_ref().map(|(host, port)| (host.as_str(), *port));
            assert_eq!(split, expected, "{text}");
        }
    }
}
