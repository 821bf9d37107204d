//! A server, asked over the network: connect, verify, go on for diagnosis, resume, close, survey.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use handfast::probe::{self, WireVersion};
use handfast::{
    Cause, ClientContext, ClientContextBuilder, CloseOutcome, ConfigurationCause, Ending, Error,
    Identity, NetworkCause, PeerCause, Phase, Read, RevocationLists, SpkiSha256, StartTls, Stream,
    Timeouts, TlsVersion, TrustAnchors, escape_control,
};
use handfast_https::client::with_hearsay;

use super::Args;
use super::findings::{Closing, Findings, Live, Resumption, Tried};
use super::probing::Place;
use crate::failure::Failure;

const HTTPS_PORT: u16 = 443;
/// How long to wait for the server's end once we have said ours.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// What the questions after a failed handshake may take together.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// What a server may say unasked before we hang up: greetings and settings are shorter.
const UNASKED_BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn inspect_all(args: &Args) -> Result<Vec<Findings>, Failure> {
    let plan = Plan::new(args)?;
    args.hosts.iter().map(|host| plan.inspect(host)).collect()
}

/// What is the same for every host.
struct Plan<'a> {
    args: &'a Args,
    anchors: TrustAnchors,
    lists: RevocationLists,
    pins: Vec<SpkiSha256>,
    identity: Option<Identity>,
    alpn: Vec<String>,
}

/// Where to go and who should be there.
struct Target {
    host: String,
    port: u16,
    server_name: String,
    starttls: Option<StartTls>,
}

impl<'a> Plan<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let trust = args.trust.as_shared();
        let alpn = match (&args.alpn, args.starttls) {
            (Some(protocols), _) => protocols.clone(),
            (None, Some(_)) => Vec::new(),
            (None, None) => vec!["h2".to_owned(), "http/1.1".to_owned()],
        };
        Ok(Self {
            anchors: trust.anchors()?,
            lists: trust.revocation_lists()?,
            identity: trust.identity.read()?,
            pins: trust.pin,
            alpn: alpn.into_iter().filter(|name| !name.is_empty()).collect(),
            args,
        })
    }

    fn inspect(&self, host: &str) -> Result<Findings, Failure> {
        let target = self.target(host)?;
        let mut found = Findings::new(host, jiff::Timestamp::now().as_second());
        found.name = Some(target.server_name.clone());
        found.expires_within = self.args.expires_within;
        let mut live = Live {
            starttls: target.starttls,
            ..Live::default()
        };
        self.fill(&target, &mut found, &mut live)?;
        found.live = Some(live);
        Ok(found)
    }

    fn fill(&self, target: &Target, found: &mut Findings, live: &mut Live) -> Result<(), Failure> {
        let verifying = self.context().build()?;
        let (address, socket) = match self.reach(target, live) {
            Ok(reached) => reached,
            Err(error) => {
                found.error = Some(error.with_server_name(&target.server_name));
                return Ok(());
            }
        };
        // The platform's store is read by the first verification: only now, it can be told of.
        let verified = verifying.secure(&target.server_name, socket);
        found.trust = self
            .anchors
            .sources()
            .iter()
            .map(ToString::to_string)
            .collect();
        found.crls = self.lists.len();
        let accepting = self.context().danger().accept_any_certificate().build()?;
        let stream = match verified {
            Ok(stream) => Some(stream),
            Err(failure) => {
                let is_about_the_chain = matches!(
                    failure.error.cause(),
                    Cause::Peer(PeerCause::Certificate(_))
                );
                if let Cause::Peer(PeerCause::Certificate(refused)) = failure.error.cause() {
                    found.chain = refused.chain.clone();
                }
                found.error = Some(failure.error);
                live.report_is_unverified = true;
                match is_about_the_chain {
                    true => self.secure(&accepting, target, address).ok(),
                    false => None,
                }
            }
        };
        let is_refused = found.error.is_some();
        if let Some(mut stream) = stream {
            let report = stream.report().clone();
            found.chain = report.peer_chain.clone();
            found.path = report.peer.as_ref().map(|peer| peer.path().clone());
            live.report = Some(report);
            match end(&mut stream) {
                Ok(closing) => live.closing = Some(closing),
                Err(error) => {
                    found.error.get_or_insert(error);
                }
            }
            live.resumption = self.try_resumption(target, address, is_refused)?;
        }
        let place = Place {
            address,
            starttls: target.starttls,
            server_name: &target.server_name,
            limit: self.args.timeout,
        };
        if self.args.scan {
            let survey = place.survey(&WireVersion::ALL);
            live.survey =
                Some(survey.map_err(|error| escape_control(&error.to_string()).into_owned()));
        }
        if !self.args.no_probe {
            let asked = found.error.take();
            found.error = asked.map(|error| self.ask_why(error, &verifying, target, &place));
        }
        Ok(())
    }

    /// The error with what the server says about it when it is asked again.
    fn ask_why(
        &self,
        error: Error,
        context: &ClientContext,
        target: &Target,
        place: &Place<'_>,
    ) -> Error {
        let limit = PROBE_WITHIN.min(self.args.timeout);
        let name = &target.server_name;
        let error = probe::clarify(error, context, name, limit, || place.connect());
        match target.starttls {
            None => with_hearsay(error, name, target.port, limit, || place.connect()),
            // Mail servers and their like have no Date to ask for.
            Some(_) => error,
        }
    }

    fn target(&self, host: &str) -> Result<Target, Failure> {
        let starttls = self.args.starttls;
        let port = starttls.map_or(HTTPS_PORT, StartTls::default_port);
        let (named, named_port) = split(host, port)?;
        let (host, port) = match &self.args.connect_to {
            Some(elsewhere) => split(elsewhere, named_port)?,
            None => (named.clone(), named_port),
        };
        Ok(Target {
            host,
            port,
            server_name: self.args.sni.clone().unwrap_or(named),
            starttls,
        })
    }

    fn context(&self) -> ClientContextBuilder {
        let mut builder = ClientContext::builder()
            .trust(self.anchors.clone())
            .revocation_lists(self.lists.clone())
            .alpn(self.alpn.iter().map(String::as_bytes))
            .timeouts(Timeouts::all(self.args.timeout));
        for pin in &self.pins {
            builder = builder.pin(*pin);
        }
        match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    }

    /// Resolves, connects and gets to where TLS begins, noting how long each took.
    fn reach(&self, target: &Target, live: &mut Live) -> Result<(SocketAddr, TcpStream), Error> {
        let began = Instant::now();
        let resolved = (target.host.as_str(), target.port).to_socket_addrs();
        live.resolved_in = Some(began.elapsed());
        let addresses: Vec<SocketAddr> = resolved
            .map_err(|source| {
                let host = target.host.clone();
                Error::new(Phase::Resolve, NetworkCause::NotResolved { host, source })
            })?
            .collect();
        let mut last = None;
        for address in addresses {
            let began = Instant::now();
            let attempt = TcpStream::connect_timeout(&address, self.args.timeout);
            let problem = attempt.as_ref().err().map(|error| {
                let text = error.to_string();
                let plain = text.split(" (os error").next().unwrap_or(&text);
                escape_control(plain).into_owned()
            });
            live.tried.push(Tried {
                address,
                took: began.elapsed(),
                problem,
            });
            match attempt {
                Ok(socket) => {
                    let _ = socket.set_nodelay(true);
                    let began = Instant::now();
                    let socket = self.begin(target, socket)?;
                    live.dialogue_in = target.starttls.map(|_| began.elapsed());
                    return Ok((address, socket));
                }
                Err(error) => last = Some(error),
            }
        }
        let addresses = live.tried.iter().map(|tried| tried.address).collect();
        let cause = match last {
            None => NetworkCause::NotResolved {
                host: target.host.clone(),
                source: std::io::Error::other("the name has no address"),
            },
            Some(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                NetworkCause::Refused { addresses }
            }
            Some(error) if error.kind() == std::io::ErrorKind::TimedOut => NetworkCause::TimedOut {
                limit: self.args.timeout,
            },
            Some(source) => NetworkCause::Unreachable { addresses, source },
        };
        Err(Error::new(Phase::Connect, cause))
    }

    fn begin(&self, target: &Target, mut socket: TcpStream) -> Result<TcpStream, Error> {
        if let Some(protocol) = target.starttls {
            protocol.negotiate(&mut socket, &target.server_name, Some(self.args.timeout))?;
        }
        Ok(socket)
    }

    fn secure(
        &self,
        context: &ClientContext,
        target: &Target,
        address: SocketAddr,
    ) -> Result<Stream<TcpStream>, Error> {
        let socket = TcpStream::connect_timeout(&address, self.args.timeout)
            .map_err(|error| Error::new(Phase::Connect, NetworkCause::from(error)))?;
        let _ = socket.set_nodelay(true);
        let socket = self.begin(target, socket)?;
        Ok(context.secure(&target.server_name, socket)?)
    }

    /// Connects twice under each version: the second time with the session of the first.
    fn try_resumption(
        &self,
        target: &Target,
        address: SocketAddr,
        is_refused: bool,
    ) -> Result<Vec<(&'static str, Resumption)>, Failure> {
        let mut tried = Vec::new();
        for (version, name) in [
            (TlsVersion::Tls12, "TLS 1.2"),
            (TlsVersion::Tls13, "TLS 1.3"),
        ] {
            let mut builder = self.context().versions([version]);
            if is_refused {
                builder = builder.danger().accept_any_certificate();
            }
            let context = builder.build()?;
            let connect = || -> Result<bool, Error> {
                let mut stream = self.secure(&context, target, address)?;
                let is_resumed = stream.report().resumed;
                // Tickets of TLS 1.3 come after the handshake, and so does a refusal.
                end(&mut stream)?;
                Ok(is_resumed)
            };
            let outcome = match connect().and_then(|_| connect()) {
                Ok(true) => Resumption::Works,
                Ok(false) => Resumption::DoesNot,
                Err(error) => Resumption::Untried(error.explain().id),
            };
            tried.push((name, outcome));
        }
        Ok(tried)
    }
}

/// Ends our direction, reads to the server's end, and says how it went.
fn end(stream: &mut Stream<TcpStream>) -> Result<Closing, Error> {
    let mut limits = Timeouts::NONE;
    limits.read = Some(CLOSE_WITHIN);
    limits.write = Some(CLOSE_WITHIN);
    stream.set_timeouts(limits);
    let mut unasked_bytes = 0;
    let mut chunk = [0; 8192];
    let is_sent = stream.finish().is_ok();
    let deadline = Instant::now() + CLOSE_WITHIN;
    let ending = loop {
        if unasked_bytes > UNASKED_BYTES_MAX || Instant::now() > deadline {
            break None;
        }
        match stream.read_some(&mut chunk) {
            Ok(Read::Data(count)) => unasked_bytes += count as u64,
            Ok(Read::End(ending)) => break Some(ending),
            Ok(Read::WouldBlock) => break None,
            Err(error) if matches!(error.cause(), Cause::Network(_)) => break None,
            Err(error) => return Err(error),
        }
    };
    let outcome = match ending {
        Some(Ending::CloseNotify) if is_sent => CloseOutcome::Complete,
        Some(Ending::Reset) => CloseOutcome::PeerGone,
        _ => CloseOutcome::SentOnly,
    };
    Ok(Closing {
        ending,
        outcome,
        unasked_bytes,
    })
}

/// `HOST`, `HOST:PORT`, `[V6]:PORT`, a bare IPv6 address, or a whole https URL.
fn split(text: &str, default_port: u16) -> Result<(String, u16), Failure> {
    let rest = text.strip_prefix("https://").unwrap_or(text);
    let authority = rest.split('/').next().unwrap_or(rest);
    let wrong = || -> Failure {
        let text = text.to_owned();
        Error::new(Phase::Configure, ConfigurationCause::Address { text }).into()
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
    Ok((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b4_hosts_are_read_as_people_write_them() {
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
            ("a:70000", None),
            ("", None),
        ] {
            let split = split(text, 443).ok();
            let split = split.as_ref().map(|(host, port)| (host.as_str(), *port));
            assert_eq!(split, expected, "{text}");
        }
    }
}
