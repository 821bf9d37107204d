//! The way to a server: name, addresses, proxy, and the plain text before TLS.
//!
//! It is found once, by trying every address; all later connections of one report take the same.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use handfast::Phase;
use handfast_dial::proxy::ProxyError;
use handfast_dial::{Cause, Error, StartTls, connect_error, proxy, refuse_number, resolve};
use handfast_https::client::Proxy;

use super::findings::{Live, Tried};
use crate::failure::{Failure, plain};
use crate::tls_at_once;

/// A server that takes one client after the other may refuse the next for a moment.
const ATTEMPTS: u32 = 4;

/// Where to go and who should be there.
pub(super) struct Target {
    /// As the user wrote it.
    pub(super) text: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) server_name: String,
    pub(super) starttls: Option<StartTls>,
    /// Who is to connect to it for us.
    pub(super) proxy: Option<Proxy>,
    /// For each phase.
    pub(super) limit: Duration,
}

/// A way that was found.
pub(super) struct Route<'a> {
    pub(super) target: &'a Target,
    /// The server's, or the proxy's.
    address: SocketAddr,
}

impl Target {
    /// Resolves, connects and gets to where TLS begins, noting how long each took.
    pub(super) fn reach(&self, live: &mut Live) -> Result<(Route<'_>, TcpStream), Error> {
        let began = Instant::now();
        let (host, port) = match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port()),
            None => (self.host.as_str(), self.port),
        };
        let resolved = resolve(host, port, Some(self.limit));
        live.resolved_in = Some(began.elapsed());
        let addresses = resolved.map_err(|error| self.blame_proxy(error))?;
        let (address, socket) = self
            .first_that_answers(host, &addresses, live)
            .map_err(|error| self.blame_proxy(error))?;
        let route = Route {
            target: self,
            address,
        };
        let socket = route.begin(socket, live)?;
        Ok((route, socket))
    }

    fn first_that_answers(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        live: &mut Live,
    ) -> Result<(SocketAddr, TcpStream), Error> {
        let deadline = Instant::now() + self.limit;
        let mut last = None;
        for (index, address) in addresses.iter().enumerate() {
            let began = Instant::now();
            let left = deadline.saturating_duration_since(began);
            // An address that swallows packets must leave time for those after it.
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
            let share = share.max(Duration::from_millis(1));
            let attempt = TcpStream::connect_timeout(address, share);
            let problem = attempt.as_ref().err().map(plain);
            live.tried.push(Tried {
                address: *address,
                took: began.elapsed(),
                problem,
            });
            match attempt {
                Ok(socket) => return Ok((*address, socket)),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) if error.kind() == io::ErrorKind::TimedOut => {
                let limit = self.limit;
                Err(Error::new(Phase::Connect, Cause::TimedOut { limit }))
            }
            last => Err(connect_error(host, addresses.to_vec(), last)),
        }
    }

    /// A proxy that is not there is no fault of the server's.
    fn blame_proxy(&self, error: Error) -> Error {
        let Some(proxy) = &self.proxy else {
            return error;
        };
        let copy = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
        let cause = match error.cause() {
            Cause::NotResolved { host, source } => {
                let (host, source) = (host.clone(), copy(source));
                Cause::NotResolved { host, source }
            }
            Cause::Refused { addresses } => Cause::Refused {
                addresses: addresses.clone(),
            },
            Cause::TimedOut { limit } => Cause::TimedOut { limit: *limit },
            Cause::Unreachable { addresses, source } => {
                let (addresses, source) = (addresses.clone(), copy(source));
                Cause::Unreachable { addresses, source }
            }
            _ => return error,
        };
        ProxyError::unreachable(proxy.target(&self.host, self.port), cause).into()
    }
}

impl Route<'_> {
    /// Another connection, taken to where TLS begins.
    pub(super) fn open(&self) -> Result<TcpStream, Error> {
        let mut attempt = 0;
        let socket = loop {
            match TcpStream::connect_timeout(&self.address, self.target.limit) {
                Ok(socket) => break socket,
                Err(error) if attempt + 1 == ATTEMPTS => {
                    return Err(Error::new(Phase::Connect, Cause::from(error)));
                }
                Err(_) => {
                    attempt += 1;
                    std::thread::sleep(Duration::from_millis(50 * u64::from(attempt)));
                }
            }
        };
        self.begin(socket, &mut Live::default())
    }

    fn begin(&self, mut socket: TcpStream, live: &mut Live) -> Result<TcpStream, Error> {
        let target = self.target;
        let _ = socket.set_nodelay(true);
        if let Some(proxy) = &target.proxy {
            let began = Instant::now();
            proxy::connect(
                &mut socket,
                &proxy.target(&target.host, target.port),
                proxy.credentials(),
                Some(target.limit),
            )?;
            live.proxied_in = Some((proxy.to_string(), began.elapsed()));
        }
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
    /// A server that says nothing where a greeting should come is asked whether it waits for TLS:
    /// that its time limit passed would be told only after all of it, and would not say why.
    fn await_greeting(&self, socket: &TcpStream, protocol: StartTls) -> Result<(), Error> {
        let target = self.target;
        let silence = tls_at_once::silence(protocol, Some(target.port));
        if !protocol.server_speaks_first() || silence >= target.limit || target.proxy.is_some() {
            return Ok(());
        }
        // What goes wrong here goes wrong in the dialogue, and is told there.
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
    fn hosts_are_read_as_people_write_them() {
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
