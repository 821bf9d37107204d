//! `handfast connect`: a TLS session between the terminal and any byte channel, either side of it.

mod negotiate;
mod poll;
mod probing;
mod serial;
mod session;
mod stdio;
mod target;
mod telling;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use handfast::{
    ClientAuth, ConfigurationCause, Connection, Ending, Error, Explanation, NetworkCause,
    PeerCause, Phase, ServerContext, ServerName, StartTls, Timeouts, TrustAnchors,
};

use self::negotiate::{Deadline, begin_tls, handshake};
use self::poll::Signals;
use self::session::{Outcome, Session, Why};
use self::stdio::Input;
use self::target::{Target, authority};
use self::wire::Wire;
use crate::failure::{Failure, code};
use crate::output;
use crate::passphrase::PassphraseSource;
use crate::trust_args::{SessionArgs, TrustArgs, with_files};

/// Ended by a signal: what shells report for Ctrl-C.
const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// HOST:PORT, unix:PATH, exec:COMMAND or serial:DEVICE[,SPEED]
    #[arg(value_name = "TARGET", required_unless_present = "listen")]
    target: Option<Target>,
    /// Be the server instead: wait for one client there, with --cert and --key
    #[arg(long, value_name = "TARGET", conflicts_with = "target")]
    listen: Option<Target>,
    /// The name that the server's certificate must be valid for [default: the host]
    #[arg(long, value_name = "NAME")]
    servername: Option<String>,
    /// Send this name (SNI) instead of the one that is verified
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Begin in this protocol's plain text: smtp, imap, pop3, ftp, ldap, xmpp, postgres, mysql, sieve, nntp
    #[arg(long, value_name = "PROTOCOL")]
    starttls: Option<StartTls>,
    /// Send a line feed as carriage return and line feed
    #[arg(long)]
    crlf: bool,
    /// Keep our direction open until input and peer have both ended, however long the other is silent
    #[arg(long)]
    keep_open: bool,
    /// When the handshake fails, do not ask the server over further connections what it would take
    #[arg(long)]
    no_probe: bool,
    /// Say nothing on stderr but warnings and failures
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    trust: TrustArgs,
    /// With --listen: verify clients against these certificates
    #[arg(
        long,
        value_name = "FILE",
        requires = "listen",
        help_heading = "Trust and identity"
    )]
    client_ca: Vec<PathBuf>,
    /// With --listen: demand a certificate of the client [default: required with --client-ca]
    #[arg(
        long,
        value_name = "WHEN",
        requires = "client_ca",
        help_heading = "Trust and identity"
    )]
    client_auth: Option<Demand>,
    #[command(flatten)]
    session: SessionArgs,
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
  handfast connect mail.example.org --starttls smtp    plain text first, as the protocol demands
  handfast connect unix:/run/app.sock --servername app.internal
  handfast connect exec:'ssh gate nc db 5432' --servername db --starttls postgres
  handfast connect serial:/dev/ttyUSB0,115200 --servername device-7 --cacert factory.pem
  handfast connect --listen 127.0.0.1:0 --cert chain.pem --key key.pem < file

The end of the input ends our direction (close_notify, and FIN where the channel has one), and what
the peer still sends is read. When the peer has ended, input is sent on while it flows; one second
without any, and the session is over. With --keep-open it lasts until both have ended. Received data goes to stdout, everything about it to stderr.

Exit codes are curl's: 0 ended in order, 7 no channel, 28 time, 35 handshake, 55 input was lost,
56 cut off (no close_notify), 60 the server is not who it should be, 64 no STARTTLS.";

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if matches!(args.trust.identity.pass, Some(PassphraseSource::Stdin)) {
        return Err(Failure::usage(
            "stdin is what is sent, so the passphrase cannot come from there",
            "give it as env:VAR, file:PATH, fd:N or at the prompt",
        ));
    }
    match (&args.listen, &args.target) {
        (Some(target), _) => listen(&args, target),
        (None, Some(target)) => connect(&args, target),
        (None, None) => Err(Failure::usage(
            "there is nothing to connect to",
            "give HOST:PORT or another target",
        )),
    }
}

fn connect(args: &Args, target: &Target) -> Result<ExitCode, Failure> {
    let name = verified_name(args, target)?;
    let sent = args.sni.as_deref().unwrap_or(&name);
    let mut builder = args.trust.client(&args.session)?.timeouts(args.timeouts());
    // Before anybody is bothered: a name that is none.
    let expected = server_name(&name)?;
    server_name(sent)?;
    if args.sni.is_some() {
        builder = builder.expected_name(expected);
    }
    let context = builder.build()?;
    let deadline = args.session.connect_timeout.map(Deadline::after);
    let wire = Wire::connect(target, &context, args.starttls)?;
    let signals = Signals::install().map_err(no_signals)?;
    args.over(wire, |wire| {
        if let Some(protocol) = args.starttls {
            let dialogue = protocol.dialogue(&name);
            let deadline = deadline.unwrap_or_else(|| Deadline::after(handshake_limit()));
            if !begin_tls(wire, dialogue, deadline, &signals)? {
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        let clarify = |error| match args.no_probe {
            true => error,
            false => probing::clarify(error, target, &context, sent, args.starttls),
        };
        args.converse(wire, context.connection(sent)?, deadline, &signals, clarify)
    })
}

fn listen(args: &Args, target: &Target) -> Result<ExitCode, Failure> {
    if args.starttls.is_some() || args.servername.is_some() || args.sni.is_some() {
        return Err(Failure::usage(
            "--starttls, --servername and --sni are a client's",
            "leave them out with --listen",
        ));
    }
    let context = server_context(args)?;
    let signals = Signals::install().map_err(no_signals)?;
    let Some(wire) = Wire::accept(target, &signals)? else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let deadline = args.session.connect_timeout.map(Deadline::after);
    args.over(wire, |wire| {
        args.converse(wire, context.connection()?, deadline, &signals, |error| {
            error
        })
    })
}

impl Args {
    /// Gives the channel up afterwards, whatever happens.
    fn over(
        &self,
        mut wire: Wire,
        converse: impl FnOnce(&mut Wire) -> Result<ExitCode, Failure>,
    ) -> Result<ExitCode, Failure> {
        let result = converse(&mut wire);
        let remark = wire.finish();
        if let Some(remark) = remark
            && (!self.quiet || result.is_err())
        {
            output::note(format!("* {remark}"));
        }
        result
    }

    fn converse(
        &self,
        wire: &mut Wire,
        mut connection: Connection,
        deadline: Option<Deadline>,
        signals: &Signals,
        clarify: impl FnOnce(Error) -> Error,
    ) -> Result<ExitCode, Failure> {
        let deadline = deadline.unwrap_or_else(|| Deadline::after(handshake_limit()));
        if !handshake(wire, &mut connection, deadline, signals).map_err(clarify)? {
            return Ok(ExitCode::from(INTERRUPTED));
        }
        if !self.quiet
            && let Some(report) = connection.report()
        {
            telling::report(report, wire.leads_to());
        }
        let input = Input::new(self.crlf);
        let outcome = Session::new(wire, &mut connection, signals, input, self.keep_open).run();
        if !self.quiet && !matches!(outcome.why, Why::OutputClosed) {
            telling::ended(&outcome);
        }
        judge(outcome)
    }

    fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        if let Some(limit) = self.session.connect_timeout {
            timeouts.resolve = Some(limit);
            timeouts.connect = Some(limit);
        }
        timeouts
    }
}

/// The library's limit on a handshake serves here as well, and on the dialogue before it.
fn handshake_limit() -> Duration {
    const LIMIT: Duration = Duration::from_secs(10);
    Timeouts::default().handshake.unwrap_or(LIMIT)
}

fn verified_name(args: &Args, target: &Target) -> Result<String, Failure> {
    match (&args.servername, target) {
        (Some(name), _) => Ok(name.clone()),
        (None, Target::Tcp { host, port }) => {
            if port.is_none() && args.starttls.is_none() {
                return Err(Failure::usage(
                    format!("`{target}` has no port"),
                    format!("write it as {}", authority(host, Some(443))),
                ));
            }
            Ok(host.clone())
        }
        // Whatever it is, it will not be verified.
        (None, _) if args.trust.insecure => Ok("localhost".to_owned()),
        (None, _) => Err(Failure::usage(
            "this channel does not say who is at its other end",
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
    let mut builder = ServerContext::builder()
        .versions(args.session.tls.iter().copied())
        .alpn(args.session.alpn.iter().map(String::as_bytes))
        .revocation_lists(args.trust.revocation_lists()?);
    if let Some(identity) = args.trust.identity.read()? {
        builder = builder.identity(identity);
    }
    if !args.client_ca.is_empty() {
        let anchors = with_files(TrustAnchors::empty(), &args.client_ca)?;
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

/// The exit code that an outcome deserves, or its explanation.
fn judge(outcome: Outcome) -> Result<ExitCode, Failure> {
    match outcome.why {
        Why::Failed(error) => return Err(error.into()),
        Why::Input(error) => {
            let explanation = Explanation::new("input-unreadable", "standard input cannot be read")
                .with_evidence(error.to_string())
                .with_evidence("the peer was not told that this was all: no close_notify");
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
                "the peer closed the connection before it had taken all of the input",
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
