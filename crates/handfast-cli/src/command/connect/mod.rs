//! `handfast connect`: a TLS session between the terminal and any byte channel, as client or server.

mod channel;
mod negotiate;
mod probing;
mod serial;
mod session;
mod signals;
mod stdio;
mod target;
mod telling;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use handfast::{
    Cause, ClientAuth, ConfigurationCause, Connection, Ending, Error, Explanation, NetworkCause,
    PeerCause, Phase, ServerContext, ServerName, Timeouts, TrustAnchors,
};
use handfast_dial::{StartTls, refuse_number};

use self::channel::{CommandFailed, Listener, PolledChannel};
use self::negotiate::{Deadline, begin_tls, handshake};
use self::session::{Closing, Outcome, Session, Why};
use self::signals::Signals;
use self::stdio::Input;
use self::target::{Target, authority};
use crate::clock::unix_now;
use crate::exit_codes::INTERRUPTED;
use crate::failure::{Failure, code};
use crate::proxy_args::ProxyArgs;
use crate::tls_at_once;
use crate::trust_args::{SessionArgs, TrustArgs, tell_trust_problems};
use crate::verify_args::{lists_of, with_files};
use crate::{crl_dates, data_dir, output};

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    // The help shows this text as it is: brackets are none of a link.
    #[allow(rustdoc::broken_intra_doc_links)]
    /// HOST:PORT, https://HOST, unix:PATH, exec:COMMAND or serial:DEVICE[,SPEED]
    #[arg(value_name = "TARGET", required_unless_present = "listen")]
    target: Option<Target>,
    /// Port, if it is not given with the host
    #[arg(value_name = "PORT", requires = "target")]
    port: Option<u16>,
    /// Be the server: listen here for one client, with --cert and --key
    #[arg(long, value_name = "TARGET", conflicts_with = "target")]
    listen: Option<Target>,
    /// Name to verify, instead of the one in the target
    #[arg(long, value_name = "NAME")]
    servername: Option<String>,
    /// Server name to send (SNI) and verify, instead of the host's
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Start in plain text and upgrade to TLS: smtp, imap, pop3, ftp, ldap, xmpp, postgres, mysql, sieve, nntp
    #[arg(long, value_name = "PROTOCOL")]
    starttls: Option<StartTls>,
    /// Send line feeds as CR LF
    #[arg(long)]
    crlf: bool,
    /// Keep the session open until both the input and the peer have ended
    #[arg(long)]
    keep_open: bool,
    /// If the handshake fails, do not open further connections to find out why
    #[arg(long)]
    no_probe: bool,
    /// Print only warnings and errors on stderr
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    trust: TrustArgs,
    /// Request a client certificate issued by a CA in FILE; `local` is your own authority; needs --listen
    #[arg(
        long,
        value_name = "FILE",
        requires = "listen",
        help_heading = "Trust and identity"
    )]
    client_ca: Vec<PathBuf>,
    /// Client certificate [default: required with --client-ca]
    #[arg(
        long,
        value_name = "WHEN",
        requires = "client_ca",
        help_heading = "Trust and identity"
    )]
    client_auth: Option<Demand>,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    proxy: ProxyArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Demand {
    None,
    Optional,
    Required,
}

const EXAMPLES: &str = "\
Examples:
  handfast connect example.org:443                     type, and read what comes back
  handfast connect mail.example.org --starttls smtp    STARTTLS
  handfast connect unix:/run/app.sock --servername app.internal
  handfast connect exec:'ssh gate nc db 5432' --servername db --starttls postgres
  handfast connect serial:/dev/ttyUSB0,115200 --servername device-7 --cacert factory.pem
  handfast connect --listen 127.0.0.1:0 --cert chain.pem --key key.pem < file

At the end of the input our direction is closed (close_notify, and FIN where the channel has
one), and what the peer still sends is read. Many servers do not answer after that, so at the
end of a script (up to 64 KiB from a pipe or file, any length after --starttls) it waits for the
answers first: until nothing new comes for 2 seconds, or nothing at all for 5. When the peer has
closed, input is sent until it pauses for one second. With --keep-open the session lasts until
both have closed. Received data goes to stdout, messages to stderr.

Exit codes are curl's: 0 closed properly, 7 connection failed, 28 time-out, 35 handshake failed,
55 input was not sent, 56 truncated (no close_notify), 60 certificate not verified, 64 no
STARTTLS.";

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.trust.identity.reads_stdin() {
        return Err(Failure::usage(
            "stdin is sent to the peer, so the passphrase cannot be read from it",
            "give it as env:VAR, file:PATH, fd:N or at the prompt",
        ));
    }
    match (&args.listen, &args.target) {
        (Some(target), _) => listen(&args, target),
        (None, Some(target)) => {
            let target = match args.port {
                Some(port) => target.clone().with_port(port).map_err(|problem| {
                    Failure::usage(problem, "write it as localhost:8443, or localhost 8443")
                })?,
                None => target.clone(),
            };
            connect(&args, &target)
        }
        (None, None) => Err(Failure::usage(
            "no target given",
            "give HOST:PORT or another target",
        )),
    }
}

fn connect(args: &Args, target: &Target) -> Result<ExitCode, Failure> {
    let name = verified_name(args, target)?;
    let sent = args.sni.as_deref().unwrap_or(&name);
    let mut builder = args.trust.client(&args.session)?.timeouts(args.timeouts());
    // Before connecting: check the name.
    let expected = server_name(&name)?;
    server_name(sent)?;
    if sent != name {
        builder = builder.expected_name(expected);
    }
    let context = builder.build()?;
    let proxy = match target {
        Target::Tcp { .. } => args.proxy.proxy()?,
        _ => None,
    };
    let proxy = proxy.as_ref();
    let deadline = args.session.connect_limit().map(Deadline::after);
    let channel = PolledChannel::connect(target, &context, args.starttls, proxy)?;
    let signals = Signals::install().map_err(no_signals)?;
    args.over(channel, |channel| {
        if let Some(protocol) = args.starttls {
            let dialogue = protocol.dialogue(&name);
            let deadline = deadline.unwrap_or_else(|| Deadline::after(handshake_limit()));
            let port = match target {
                Target::Tcp { port, .. } => *port,
                _ => None,
            };
            let silence = tls_at_once::silence(protocol, port);
            let ask = || match args.no_probe {
                true => None,
                false => probing::tls_at_once(target, &context, sent, protocol, proxy),
            };
            if !begin_tls(channel, dialogue, deadline, silence, &signals, ask)? {
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        let clarify = |error| match args.no_probe {
            true => error,
            false => probing::clarify(error, target, &context, sent, args.starttls, proxy),
        };
        args.converse(
            channel,
            context.connection(sent)?,
            deadline,
            &signals,
            clarify,
        )
    })
}

fn listen(args: &Args, target: &Target) -> Result<ExitCode, Failure> {
    if args.starttls.is_some() || args.servername.is_some() || args.sni.is_some() {
        return Err(Failure::usage(
            "--starttls, --servername and --sni are for clients",
            "omit them with --listen",
        ));
    }
    let context = server_context(args)?;
    let signals = Signals::install().map_err(no_signals)?;
    let mut listener = Listener::bind(target)?;
    loop {
        let Some(mut channel) = listener.accept(target, &signals)? else {
            return Ok(ExitCode::from(INTERRUPTED));
        };
        let deadline = args.session.connect_limit().map(Deadline::after);
        let deadline = deadline.unwrap_or_else(|| Deadline::after(handshake_limit()));
        let mut connection = context.connection()?;
        match handshake(&channel, &mut connection, deadline, &signals) {
            Err(error) if listener.goes_on() && was_not_a_client(&error) => {
                if !args.quiet {
                    let why = error.explain().what;
                    output::note(format!("* {}: {why}; still listening", channel.leads_to()));
                }
                channel.half_close();
            }
            secured => {
                // There is only one session: the operating system refuses further clients.
                drop(listener);
                return args.over(channel, |channel| match secured? {
                    true => args.talk(channel, connection, &signals),
                    false => Ok(ExitCode::from(INTERRUPTED)),
                });
            }
        }
    }
}

/// Whether it was a port scan or health check: those close, or send something that is neither TLS nor HTTP. A
/// browser that uses `http://`, or a client that refuses in the handshake, is reported.
fn was_not_a_client(error: &Error) -> bool {
    match error.cause() {
        Cause::Network(NetworkCause::TimedOut { .. }) => error.client_offer().is_none(),
        Cause::Peer(PeerCause::ClosedInHandshake { .. } | PeerCause::ResetInHandshake { .. }) => {
            error.client_offer().is_none()
        }
        Cause::Peer(PeerCause::NotTls { first_bytes }) => {
            let line = first_bytes.split(|byte| *byte == b'\n').next();
            !line.is_some_and(|line| line.windows(7).any(|part| part == b" HTTP/1"))
        }
        _ => false,
    }
}

impl Args {
    /// Closes the channel afterwards in any case.
    fn over(
        &self,
        mut channel: PolledChannel,
        converse: impl FnOnce(&mut PolledChannel) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        let mut result = converse(&mut channel);
        let failed = channel.finish();
        if let (Err(failure), Some(CommandFailed::Ended(_))) = (&mut result, failed)
            && failure.explanation.id == "closed-without-a-byte"
        {
            // It was not the network, and no server.
            failure.explanation.fix =
                vec!["run the command by itself: it failed before it connected".to_owned()];
        }
        if let Some(remark) = failed
            && (!self.quiet || result.is_err())
        {
            output::note(format!("* {remark}"));
        }
        result
    }

    fn converse(
        &self,
        channel: &mut PolledChannel,
        mut connection: Connection,
        deadline: Option<Deadline>,
        signals: &Signals,
        clarify: impl FnOnce(Error) -> Error,
    ) -> Result<ExitCode, Failure> {
        let deadline = deadline.unwrap_or_else(|| Deadline::after(handshake_limit()));
        if !handshake(channel, &mut connection, deadline, signals).map_err(clarify)? {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        self.talk(channel, connection, signals)
    }

    /// Runs the secured session.
    fn talk(
        &self,
        channel: &mut PolledChannel,
        mut connection: Connection,
        signals: &Signals,
    ) -> Result<ExitCode, Failure> {
        if !self.quiet
            && let Some(report) = connection.report()
        {
            telling::report(report, channel.leads_to());
        }
        let input = Input::new(self.crlf);
        let outcome = Session::new(channel, &mut connection, signals, input, self.closing()).run();
        if !self.quiet && !matches!(outcome.why, Why::OutputClosed) {
            telling::ended(&outcome);
        }
        conclude(outcome)
    }

    fn closing(&self) -> Closing {
        match (self.keep_open, &self.listen, self.starttls) {
            (true, ..) => Closing::KeepOpen,
            (_, Some(_), _) => Closing::AtOnce,
            (_, None, Some(_)) => Closing::AfterAllAnswers,
            (_, None, None) => Closing::AfterAnswers,
        }
    }

    fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        if let Some(limit) = self.session.connect_limit() {
            timeouts.resolve = Some(limit);
            timeouts.connect = Some(limit);
        }
        timeouts
    }
}

/// The same limit as the library's for a handshake, also for the plain-text dialogue before it.
fn handshake_limit() -> Duration {
    const LIMIT: Duration = Duration::from_secs(10);
    Timeouts::default().handshake.unwrap_or(LIMIT)
}

fn verified_name(args: &Args, target: &Target) -> Result<String, Failure> {
    match (&args.servername, target) {
        (Some(name), _) => Ok(name.clone()),
        (None, Target::Tcp { host, port }) => {
            refuse_number(host)?;
            if port.is_none() && args.starttls.is_none() {
                return Err(Failure::usage(
                    format!("`{target}` has no port"),
                    format!("write it as {}", authority(host, Some(443))),
                ));
            }
            Ok(args.sni.as_ref().unwrap_or(host).clone())
        }
        (None, _) if args.sni.is_some() => Ok(args.sni.clone().unwrap_or_default()),
        // The name is not verified.
        (None, _) if args.trust.insecure => Ok("localhost".to_owned()),
        (None, _) => Err(Failure::usage(
            "this channel has no server name",
            "give the name that the server's certificate must be valid for: --servername NAME",
        )),
    }
}

fn server_name(text: &str) -> Result<ServerName, Failure> {
    ServerName::parse(text).map_err(|problem| {
        let cause = ConfigurationCause::ServerName {
            text: text.to_owned(),
            problem: problem.to_string(),
        };
        Error::new(Phase::Configure, cause).into()
    })
}

fn server_context(args: &Args) -> Result<ServerContext, Failure> {
    let (authorities, lists) = client_files(args)?;
    let lists = lists_of(&lists, args.trust.verify.crl_expired)?;
    for list in lists.summaries() {
        if let Some(remark) =
            crl_dates::remark(list, args.trust.verify.crl_expired.into(), unix_now())
        {
            output::warning(format!("{list}: {remark}"));
        }
    }
    let mut builder = ServerContext::builder()
        .versions(args.session.versions.versions())
        .alpn(args.session.alpn.iter().map(String::as_bytes))
        .revocation_lists(lists);
    if let Some(depth) = args.trust.verify.depth {
        builder = builder.chain_depth_max(depth);
    }
    if let Some(identity) = args.trust.identity.read_one()? {
        builder = builder.identity(identity);
    }
    if !authorities.is_empty() {
        let anchors = with_files(TrustAnchors::empty(), &authorities)?;
        tell_trust_problems(&anchors);
        builder = builder.client_auth(match args.client_auth {
            Some(Demand::None) => ClientAuth::None,
            Some(Demand::Optional) => ClientAuth::Optional(anchors),
            Some(Demand::Required) | None => ClientAuth::Required(anchors),
        });
    }
    if let Some(log) = args.session.key_log()? {
        builder = builder.key_log(log);
    }
    Ok(builder.build()?)
}

/// The files of the authorities that clients need, and of the lists that they are checked against: those given, and
/// that of the local authority if it is one of them.
fn client_files(args: &Args) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    let mut lists = args.trust.verify.crl.clone();
    let mut authorities = Vec::new();
    for given in &args.client_ca {
        let Some(own) = data_dir::own_authority(given, None)? else {
            authorities.push(given.clone());
            continue;
        };
        authorities.push(own.certificate_file());
        let (list, warning) = data_dir::fresh_list(&own)?;
        lists.push(list);
        warning.into_iter().for_each(output::warning);
    }
    Ok((authorities, lists))
}

/// The exit code of an outcome, or its failure.
fn conclude(outcome: Outcome) -> Result<ExitCode, Failure> {
    match outcome.why {
        Why::Failed(error) => return Err(error.into()),
        Why::Input(error) => {
            let explanation = Explanation::new("input-unreadable", "standard input cannot be read")
                .with_evidence(error.to_string())
                .with_evidence("close_notify was not sent, because the data is incomplete");
            return Err(Failure::new(code::READ, explanation));
        }
        Why::Output(error) => {
            let explanation =
                Explanation::new("output-unwritable", "standard output cannot be written")
                    .with_evidence(error.to_string());
            return Err(Failure::new(code::WRITE, explanation));
        }
        Why::OutputClosed => return Ok(ExitCode::SUCCESS),
        Why::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        Why::Ended => {}
    }
    match outcome.ending {
        Some(Ending::Premature) => {
            let bytes_received = outcome.traffic.plaintext_received;
            let cause = PeerCause::PrematureEnd { bytes_received };
            Err(Error::new(Phase::Response, cause).into())
        }
        Some(Ending::Reset) => Err(Error::new(Phase::Response, NetworkCause::Reset).into()),
        Some(Ending::CloseNotify) | None if outcome.input_unsent => {
            let explanation = Explanation::new(
                "input-not-sent",
                "the peer closed the connection before all of the input was sent",
            );
            Err(Failure::new(code::SEND, explanation))
        }
        Some(Ending::CloseNotify) | None => Ok(ExitCode::SUCCESS),
    }
}

fn no_signals(error: std::io::Error) -> Failure {
    let explanation = Explanation::new("no-signals", "signals cannot be handled")
        .with_evidence(error.to_string());
    Failure::new(code::OTHER, explanation)
}
