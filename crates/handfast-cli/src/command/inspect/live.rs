//! Inspecting a server over the network: connect, verify, continue for diagnosis, resume, close, scan.

use std::io::{self, IsTerminal as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use handfast::{
    Cause, CertificateDer, CertificateFacts, ClientContext, ClientContextBuilder, CloseOutcome,
    Ending, Error, Identity, KeyKind, PeerCause, ReadOutcome, ServerName, Stream, Ticket, Timeouts,
    TlsVersion, UnixTime, VerificationPolicy, escape_control,
};
use handfast_dial::proxy::Proxy;
use handfast_dial::{ConnectError, StartTls};
use handfast_probe::{self as probe, WireVersion, with_unverified_reply};

use super::arguments::Args;
use super::findings::{Closing, Findings, Live, OtherChain, Resumption, VersionTried};
use super::probing::Progress;
use super::route::{Route, Target, split};
use super::{fetch, probing};
use crate::clock::unix_now;
use crate::failure::Failure;

const HTTPS_PORT: u16 = 443;
/// How long to wait for the server's end after ours.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// The time limit for all probes after a failed handshake.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
/// The limit on unsolicited data: greetings and settings are shorter.
const UNASKED_BYTES_MAX: u64 = 1024 * 1024;
/// Hosts that are inspected at the same time: most of the time is spent waiting.
const HOSTS_AT_ONCE: usize = 8;

/// Inspects every host, several at the same time, and returns the findings in the order of the arguments.
pub(super) fn inspect_all(args: &Args) -> Result<Vec<Findings>, Failure> {
    let plan = Plan::new(args)?;
    let targets = args.hosts.iter().map(|host| plan.target(host));
    // Invalid addresses are reported before connecting.
    let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..targets.len().min(HOSTS_AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(target) = targets.get(number) else {
                        return;
                    };
                    let one = plan.inspect(target);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.push((number, one));
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, one)| one).collect()
}

/// What is the same for every host.
struct Plan<'a> {
    args: &'a Args,
    policy: VerificationPolicy,
    identity: Option<Identity>,
    alpn: Vec<String>,
    proxy: Option<Proxy>,
    progress: Progress,
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
            policy: trust.verify.policy()?,
            identity: trust.identity.read_one()?,
            alpn: alpn.into_iter().filter(|name| !name.is_empty()).collect(),
            proxy: args.proxy.proxy()?,
            progress: Progress::new(!args.quiet && io::stderr().is_terminal()),
            args,
        })
    }

    fn target(&self, text: &str) -> Result<Target, Failure> {
        let starttls = self.args.starttls;
        let port = starttls.map_or(HTTPS_PORT, StartTls::default_port);
        let (named, named_port) = split(text, port)?;
        let (host, port) = match &self.args.connect_to {
            Some(elsewhere) => split(elsewhere, named_port)?,
            None => (named.clone(), named_port),
        };
        Ok(Target {
            text: text.to_owned(),
            proxy: self.proxy.clone().filter(|proxy| proxy.is_for(&host)),
            host,
            port,
            server_name: self.args.sni.clone().unwrap_or(named),
            starttls,
            limit: self.args.timeout,
        })
    }

    fn inspect(&self, target: &Target) -> Result<Findings, Failure> {
        let mut found = Findings::new(&target.text, unix_now());
        found.name = Some(target.server_name.clone());
        found.expires_within = self.args.expires_within;
        let mut live = Live {
            starttls: target.starttls,
            ..Live::default()
        };
        self.fill(target, &mut found, &mut live)?;
        found.live = Some(live);
        Ok(found)
    }

    fn fill(&self, target: &Target, found: &mut Findings, live: &mut Live) -> Result<(), Failure> {
        let verifying = self.context().build()?;
        let (route, socket) = match target.reach(live) {
            Ok(reached) => reached,
            Err(error) => {
                found.error = Some(error.with_server_name(&target.server_name).into());
                return Ok(());
            }
        };
        // The platform's store is read by the first verification, so it can be reported only now.
        let verified = verifying.secure(&target.server_name, socket);
        found.trust = self.policy.anchors().sources();
        found.consults(self.policy.revocation_lists());
        let accepting = self.context().danger().accept_any_certificate().build()?;
        let stream = match verified {
            Ok(stream) => Some(stream),
            Err(failure) => {
                // Closes the channel: some servers accept the next client only then.
                let error = Error::from(failure);
                live.report_is_unverified = true;
                let mut again = None;
                if let Cause::Peer(PeerCause::Certificate(refused)) = error.cause() {
                    found.chain = refused.chain.clone();
                    again = secure(&accepting, &route).ok();
                }
                found.error = Some(error.into());
                again
            }
        };
        let is_refused = found.error.is_some();
        if let Some(mut stream) = stream {
            let report = stream.report().clone();
            found.chain = report.peer_chain.clone();
            found.path = report.peer.as_ref().map(|peer| peer.path().clone());
            found.staple = report.staple.clone();
            live.report = Some(report);
            match end(&mut stream) {
                Ok(closing) => live.closing = Some(closing),
                Err(error) => {
                    found.error.get_or_insert_with(|| error.into());
                }
            }
            found.others = self.other_chains(&route, &found.chain);
            live.resumption = self.try_resumption(&route, is_refused)?;
            let speaks_tls12 = live.resumption.iter().any(|tried| {
                tried.version == TlsVersion::Tls12
                    && !matches!(tried.outcome, Resumption::Untried(_))
            });
            if speaks_tls12 {
                live.timestamps = probing::timestamps(&route);
            }
        }
        if self.args.fetch_missing && !found.chain.is_empty() {
            found.completed = Some(fetch::complete(
                &found.chain,
                &self.policy,
                &target.server_name,
                found.now,
                target.limit,
            ));
        }
        if self.args.scan {
            let spoken = live.report.as_ref().map(|report| match report.version {
                TlsVersion::Tls12 => WireVersion::Tls12,
                _ => WireVersion::Tls13,
            });
            let survey = probing::survey(&route, &WireVersion::ALL, spoken, &self.progress);
            live.survey =
                Some(survey.map_err(|error| escape_control(&error.to_string()).into_owned()));
        }
        if !self.args.no_probe {
            let asked = found.error.take();
            found.error = asked.map(|error| match error {
                ConnectError::Tls(error) => clarify(error, &verifying, &route).into(),
                other => other,
            });
        }
        Ok(())
    }

    fn context(&self) -> ClientContextBuilder {
        let builder = ClientContext::builder()
            .policy(self.policy.clone())
            .alpn(self.alpn.iter().map(String::as_bytes))
            .timeouts(Timeouts::all(self.args.timeout))
            .note_tickets(true);
        match &self.identity {
            Some(identity) => builder.identity(identity.clone()),
            None => builder,
        }
    }

    /// The chains that the server sends to clients that support only one kind of key, besides the known one. A server
    /// without such a certificate refuses, which is no failure.
    fn other_chains(&self, route: &Route<'_>, known: &[CertificateDer<'_>]) -> Vec<OtherChain> {
        let own = known
            .first()
            .and_then(|der| CertificateFacts::from_der(der).ok());
        let of_known = own.and_then(|facts| facts.key_algorithm.kind());
        let mut found: Vec<OtherChain> = Vec::new();
        for kind in KeyKind::ALL {
            if of_known == Some(kind) {
                continue;
            }
            let context = self.context().danger().accept_any_certificate_for(kind);
            let Ok(mut stream) = context
                .build()
                .map_err(ConnectError::from)
                .and_then(|context| secure(&context, route))
            else {
                continue;
            };
            let chain = stream.report().peer_chain.clone();
            let _ = end(&mut stream);
            let is_known = known.first() == chain.first()
                || found
                    .iter()
                    .any(|other| other.chain.first() == chain.first());
            if is_known || chain.is_empty() {
                continue;
            }
            let name = ServerName::parse(&route.target.server_name);
            let Ok(verdict) = name.map(|name| {
                self.policy
                    .check_server_chain(&chain, &name, UnixTime::now())
                    .map_err(Box::new)
            }) else {
                continue;
            };
            found.push(OtherChain {
                kind,
                chain,
                verdict,
            });
        }
        found
    }

    /// Connects twice with each version: the second time with the session of the first.
    fn try_resumption(
        &self,
        route: &Route<'_>,
        is_refused: bool,
    ) -> Result<Vec<VersionTried>, Failure> {
        let mut all = Vec::new();
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            let mut builder = self.context().versions([version]);
            if is_refused {
                builder = builder.danger().accept_any_certificate();
            }
            let context = builder.build()?;
            let connect = || -> Result<(bool, Vec<Ticket>), ConnectError> {
                let mut stream = secure(&context, route)?;
                let is_resumed = stream.report().resumed;
                // TLS 1.3 sends tickets after the handshake, and so may a refusal.
                end(&mut stream)?;
                Ok((is_resumed, stream.tickets().to_vec()))
            };
            let mut tickets = Vec::new();
            let outcome = connect().and_then(|(_, given)| {
                tickets = given;
                connect()
            });
            let outcome = match outcome {
                Ok((true, _)) => Resumption::Works,
                Ok((false, _)) => Resumption::DoesNot,
                Err(error) => Resumption::Untried(error.explain().id),
            };
            all.push(VersionTried {
                version,
                outcome,
                tickets,
            });
        }
        Ok(all)
    }
}

/// The name of the kind of key in the facts of a certificate.
fn secure(context: &ClientContext, route: &Route<'_>) -> Result<Stream<TcpStream>, ConnectError> {
    Ok(context.secure(&route.target.server_name, route.open()?)?)
}

/// Examines the error further by probing the server.
fn clarify(error: Error, context: &ClientContext, route: &Route<'_>) -> Error {
    let target = route.target;
    let limit = PROBE_WITHIN.min(target.limit);
    let name = &target.server_name;
    let open = || route.open().map_err(io::Error::from);
    let error = probe::clarify(error, context, name, limit, open);
    match target.starttls {
        None => with_unverified_reply(error, name, target.port, limit, open),
        // Other protocols than HTTP have no Date field.
        Some(_) => error,
    }
}

/// Ends our direction, reads to the server's end, and returns the result.
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
            Ok(ReadOutcome::Data(count)) => unasked_bytes += count as u64,
            Ok(ReadOutcome::End(ending)) => break Some(ending),
            Ok(ReadOutcome::WouldBlock) => break None,
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
