//! `handfast serve`: a directory over HTTPS.
//!
//! On stdout: its addresses and how to reach it. On stderr: a line for each request, each failed
//! handshake, each connection that ended abnormally.

mod audit;
mod context;
mod lines;
mod lists;
mod log;
mod warnings;

use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use handfast::{CertificateFacts, ClosePolicy, Explanation, ServerContext, SubjectAltName};
use handfast_files::Files;
use handfast_https::server::{BindError, Limits, Running, Server, ServerConfig};

use self::audit::Audit;
use self::context::Prepared;
use self::log::{Log, Writer};
use crate::data_dir;
use crate::failure::{Failure, code};
use crate::heap::{self, Peak};
use crate::output;
use crate::passphrase::PassphraseSource;

/// The default port, on both loopback addresses.
const PORT_DEFAULT: u16 = 8443;

/// With `--close wait`: how long to wait for the client's `close_notify`.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  handfast serve ./public                          at https://localhost:8443/
  handfast serve --listen 0.0.0.0:8443 ./public    for the whole network
  handfast serve --cert chain.pem --key key.pem .  with your own certificate
  handfast serve --client-ca local .               for clients of your authority
  handfast serve --listen 127.0.0.1:0 --quiet .    on a free port, without a log";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory to serve; files outside it and names that begin with a dot are never served
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Address to listen on (repeatable); port 0 picks a free one [default: 127.0.0.1:8443 and [::1]:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Vec<SocketAddr>,
    /// Do not list directories that have no index.html
    #[arg(long)]
    no_listing: bool,
    #[command(flatten)]
    identity: Identity,
    #[command(flatten)]
    clients: Clients,
    #[command(flatten)]
    running: RunningArgs,
    #[command(flatten)]
    tls: Tls,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Identity")]
struct Identity {
    /// Certificate chain, end-entity certificate first [default: one from the local authority]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Private key, if it is not in the same file as the certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Source of the key's passphrase: env:VAR, file:PATH, fd:N, stdin, prompt, pass:TEXT
    #[arg(long, value_name = "SOURCE", requires = "cert")]
    pass: Option<PassphraseSource>,
    /// Directory of the local authority [default: HANDFAST_CA_DIR, or the platform's data directory]
    #[arg(long, value_name = "DIR", conflicts_with = "cert")]
    ca_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Clients")]
struct Clients {
    /// Request a client certificate issued by a CA in FILE; `local` is your own authority
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Client certificate
    #[arg(
        long,
        value_name = "DEMAND",
        requires = "client_ca",
        default_value = "required"
    )]
    client_auth: Demand,
    /// Check certificates against the certificate revocation lists in FILE (of clients; repeatable)
    #[arg(long, value_name = "FILE", requires = "client_ca")]
    crl: Vec<PathBuf>,
    /// What to do with an expired revocation list
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "hard",
        requires = "client_ca"
    )]
    crl_expired: crate::trust_args::CrlExpired,
    /// Accept at most COUNT intermediates in a chain, 0 to 6; of clients [default: 6]
    #[arg(long, value_name = "COUNT", requires = "client_ca", value_parser = crate::trust_args::depth)]
    depth: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Demand {
    /// Clients without one are served, too
    Optional,
    /// Clients without one are refused
    Required,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Running")]
struct RunningArgs {
    /// After SIGINT or SIGTERM, time for running replies to finish; a second signal stops at once
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    grace: u64,
    /// How to close connections
    #[arg(long, value_name = "POLICY", default_value = "linger")]
    close: Close,
    /// Number of threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Maximum number of connections; more wait until one ends [default: 8192]
    #[arg(long, value_name = "N")]
    connections_max: Option<NonZeroUsize>,
    /// Append failed handshakes and connections to FILE, a line of JSON each; SIGHUP reopens it
    #[arg(long, value_name = "FILE")]
    audit: Option<PathBuf>,
    /// Print only warnings and errors on stderr: no log
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
    /// Also log how every connection ended
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Close {
    /// Send close_notify and FIN, do not wait
    Send,
    /// Then read until the client ends, within limits, so that the last reply is not lost
    Linger,
    /// Wait for the client's close_notify
    Wait,
}

impl From<Close> for ClosePolicy {
    fn from(close: Close) -> Self {
        match close {
            Close::Send => Self::Send,
            Close::Linger => Self::default(),
            Close::Wait => Self::Wait(CLOSE_WAIT),
        }
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
struct Tls {
    /// Allow only TLS 1.3 and later
    #[arg(long = "tlsv1.3")]
    tlsv1_3: bool,
    /// Latest TLS version to allow
    #[arg(long, value_name = "VERSION", value_parser = ["1.2", "1.3"], conflicts_with = "tlsv1_3")]
    tls_max: Option<String>,
    /// Append TLS session secrets to FILE, for a packet analyser; anyone with it can decrypt the traffic
    #[arg(long, value_name = "FILE")]
    key_log: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let files = Files::new(&args.directory)
        .map_err(|error| directory_failure(&args, &error))?
        .with_listing(!args.no_listing);
    let descriptors = crate::descriptors::raise_limit();
    let listen = addresses(&args.listen);
    let prepared = context::prepare(&args, &listen)?;
    let (audit, audit_writer) = match &args.running.audit {
        Some(path) => audit::open(path).map(|(audit, writer)| (Some(audit), Some(writer)))?,
        None => (None, None),
    };
    let log = Writer::start();
    let mut config = ServerConfig::new(prepared.context.clone())
        .close_policy(args.running.close.into())
        .observer(Log::new(
            &log,
            args.running.quiet,
            args.running.verbose,
            audit.clone(),
        ));
    for address in listen {
        config = config.listen(address);
    }
    if let Some(threads) = args.running.threads {
        config = config.threads(threads);
    }
    let mut limits = Limits::default();
    if let Some(count) = args.running.connections_max {
        limits.connections_max = count.get();
        config = config.limits(limits);
    }
    let room = connections_room(descriptors).ok_or_else(too_few_descriptors)?;
    if room < limits.connections_max {
        output::warning(format!(
            "at most {room} connections at once instead of {}: this process may have {} descriptors (ulimit -n)",
            limits.connections_max,
            descriptors.unwrap_or_default()
        ));
        limits.connections_max = room;
        config = config.limits(limits);
    }
    let threads = config.thread_count();
    let files =
        files.with_open_files_max(open_files_max(descriptors, limits.connections_max, threads));
    let server = Server::bind(config, files).map_err(bind_failure)?;
    // Created before clients can connect, while descriptors are available.
    let runtime = crate::runtime::current_thread().map_err(no_signals)?;
    let running = server.start().map_err(|error| {
        let what = "the server cannot start";
        Failure::new(
            code::OTHER,
            Explanation::new("no-runtime", what).with_evidence(error.to_string()),
        )
    })?;
    // A reader of this line may send a signal immediately.
    let signals = {
        let _guard = runtime.enter();
        Signals::new(audit.is_some()).map_err(no_signals)?
    };
    announce(&args, &prepared, running.local_addrs())?;
    let renewal = (!prepared.lists.is_empty()).then_some(Renewal {
        lists: prepared.lists,
        template: prepared.template,
        context: prepared.context,
        is_quiet: args.running.quiet,
    });
    let result = until_stopped(
        runtime,
        running,
        Duration::from_secs(args.running.grace),
        signals,
        audit,
        renewal,
    );
    log.finish();
    if let Some(writer) = audit_writer {
        writer.finish();
    }
    result
}

/// Both loopback addresses, as far as this machine has them: clients resolve `localhost` to either.
fn addresses(given: &[SocketAddr]) -> Vec<SocketAddr> {
    if !given.is_empty() {
        return given.to_vec();
    }
    let mut addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT))];
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        addresses.push((Ipv6Addr::LOCALHOST, PORT_DEFAULT).into());
    }
    addresses
}

/// Its addresses, a line each, and commands to reach it.
fn announce(args: &Args, prepared: &Prepared, addresses: &[SocketAddr]) -> Result<(), Failure> {
    let mut text = String::new();
    for address in addresses {
        text.push_str(&format!("listening on https://{address}/\n"));
    }
    text.push_str(&commands(args, prepared, addresses));
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // The reader has closed the pipe; the server is still useful.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            code::WRITE,
            Explanation::new("output-unwritable", "cannot write to the standard output")
                .with_evidence(error.to_string()),
        )),
        _ => Ok(()),
    }
}

/// Commands to reach it at each address; addresses with the same name and port are listed once.
fn commands(args: &Args, prepared: &Prepared, addresses: &[SocketAddr]) -> String {
    let client = match (&args.clients.client_ca, args.clients.client_auth) {
        (Some(_), Demand::Required) => " --cert CLIENT.pem --key CLIENT.key",
        _ => "",
    };
    let mut lines: Vec<String> = Vec::new();
    for address in addresses {
        let port = address.port();
        let pair = match &prepared.authority {
            Some(authority) => {
                let url = format!("https://{}:{port}/", reachable(address.ip()));
                let file = output::shell_path(&authority.file);
                let cacert = match authority.is_default {
                    true => String::new(),
                    false => format!(" --cacert {file}"),
                };
                [
                    format!("handfast get{cacert}{client} {url}"),
                    format!("curl --cacert {file}{client} {url}"),
                ]
            }
            None => {
                let Some((name, resolve)) = presented(&prepared.facts, *address) else {
                    continue;
                };
                // A self-issued certificate is itself the anchor; for others, only the local authority is known.
                let cacert = match &args.identity.cert {
                    Some(file) if prepared.facts.is_self_issued => {
                        format!(" --cacert {}", output::shell_path(file))
                    }
                    _ => String::new(),
                };
                let how = format!("{resolve}{client} https://{name}:{port}/");
                // `get` trusts the local authority by default.
                let curl = match data_dir::local_ca_that_issued(&prepared.facts) {
                    Some(file) => format!(" --cacert {}", output::shell_path(&file)),
                    None => cacert.clone(),
                };
                [
                    format!("handfast get{cacert}{how}"),
                    format!("curl{curl}{how}"),
                ]
            }
        };
        for line in pair {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    format!("\n  {}\n\n", lines.join("\n  "))
}

/// A name in a given certificate for an address, and the options that make clients connect to it. `None` if it
/// names no server.
fn presented(facts: &CertificateFacts, address: SocketAddr) -> Option<(String, String)> {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let bracketed = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let is_ip = |name: &SubjectAltName| matches!(name, SubjectAltName::Ip(found) if *found == ip);
    if facts.names.iter().any(is_ip) {
        return Some((bracketed(ip), String::new()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut names = facts.names.iter().filter_map(|name| match name {
        SubjectAltName::Dns(_) if name.never_matches().is_some() => None,
        // Any name that the wildcard matches.
        SubjectAltName::Dns(name) => Some(name.replacen('*', "www", 1)),
        _ => None,
    });
    let name = names.find(|name| !name.is_empty() && name.chars().all(plain))?;
    if name == "localhost" && ip.is_loopback() {
        return Some((name, String::new()));
    }
    let resolve = format!(" --resolve {name}:{}:{}", address.port(), bracketed(ip));
    Some((name, resolve))
}

/// The name in the certificate for an address.
fn reachable(ip: IpAddr) -> String {
    if ip.is_loopback() || ip.is_unspecified() {
        return "localhost".to_owned();
    }
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Applies changed revocation lists.
struct Renewal {
    lists: lists::Lists,
    template: context::Template,
    /// The one in use.
    context: ServerContext,
    is_quiet: bool,
}

impl Renewal {
    fn look(&mut self, running: &Running) {
        let look = self.lists.look();
        for warning in &look.warnings {
            output::warning(warning);
        }
        if !look.changed {
            return;
        }
        match self
            .template
            .build(self.lists.in_use(), Some(&self.context))
        {
            Ok(context) => {
                self.context = context.clone();
                running.replace_context(context);
                if !self.is_quiet {
                    look.notes.iter().for_each(output::note);
                }
            }
            Err(error) => output::warning(format!(
                "the changed revocation lists cannot be used: {}",
                error.explain().what
            )),
        }
    }
}

/// Waits for a signal, then for running replies; a second signal stops it at once. In the meantime checks the
/// revocation lists, and releases memory after peaks.
fn until_stopped(
    runtime: tokio::runtime::Runtime,
    running: Running,
    grace: Duration,
    mut signals: Signals,
    audit: Option<Audit>,
    mut renewal: Option<Renewal>,
) -> Result<ExitCode, Failure> {
    let hurried = runtime.block_on(async {
        let mut looks = tokio::time::interval(lists::LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut peaks, mut peak) = (tokio::time::interval(heap::LOOK_EVERY), Peak::default());
        peaks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                signal = signals.next() => match (signal, &audit) {
                    (Signal::Stop, _) => break,
                    (Signal::Hangup, Some(audit)) => audit.reopen(),
                    (Signal::Hangup, None) => {}
                },
                _ = looks.tick(), if renewal.is_some() => {
                    if let Some(renewal) = &mut renewal {
                        renewal.look(&running);
                    }
                }
                _ = peaks.tick() => {
                    if peak.is_over(running.connections()) {
                        heap::give_back();
                    }
                }
            }
        }
        drop(audit);
        running.shutdown(grace);
        let stopped = tokio::task::spawn_blocking(move || running.join());
        tokio::select! {
            _ = stopped => Ok::<_, Failure>(false),
            () = signals.stop() => Ok(true),
        }
    })?;
    // Replies that are still running end with the process.
    runtime.shutdown_background();
    if hurried {
        output::note("stopped at once");
    }
    Ok(ExitCode::SUCCESS)
}

fn no_signals(error: io::Error) -> Failure {
    let what = "signals cannot be waited for";
    Failure::new(
        code::OTHER,
        Explanation::new("no-signals", what).with_evidence(error.to_string()),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    Stop,
    /// Reopen files.
    Hangup,
}

/// SIGINT, SIGTERM and, if it is used, SIGHUP; on other systems than Unix, Ctrl-C.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new(with_hangup: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match with_hangup {
                true => Some(signal(SignalKind::hangup())?),
                false => None,
            },
        })
    }

    async fn next(&mut self) -> Signal {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = hangup => Signal::Hangup,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new(_: bool) -> io::Result<Self> {
        Ok(Self)
    }

    // As on Unix, where it is used mutably.
    #[allow(clippy::needless_pass_by_ref_mut)]
    async fn next(&mut self) -> Signal {
        let _ = tokio::signal::ctrl_c().await;
        Signal::Stop
    }
}

impl Signals {
    /// Waits for one that ends the server.
    async fn stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}

/// How many connections may be open, so that descriptors remain for the requested files: otherwise a client that only opens
/// connections could block all others. A quarter is for files. `None` if there are too few.
fn connections_room(descriptors: Option<u64>) -> Option<usize> {
    // Listeners, event loops, logs.
    const OWN: usize = 16;
    const FEWEST: usize = 32;
    let count = descriptors.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    (count >= FEWEST).then(|| (count - OWN) / 4 * 3)
}

fn too_few_descriptors() -> Failure {
    let what = "the limit of open files is too low to serve any client";
    Failure::new(
        code::OTHER,
        Explanation::new("too-many-open-files", what)
            .with_fix("raise the limit of open files (ulimit -n) to 1024 or more"),
    )
}

/// How many files each thread may keep open: its share of the descriptors, without those for connections and a
/// reserve; without a limit, as many as are useful.
fn open_files_max(descriptors: Option<u64>, connections_max: usize, threads: usize) -> usize {
    const FEW: usize = 128;
    const MANY: usize = 16 * 1024;
    const RESERVE: usize = 512;
    let descriptors = descriptors.map_or(usize::MAX, |count| {
        usize::try_from(count).unwrap_or(usize::MAX)
    });
    let spare = descriptors.saturating_sub(connections_max.saturating_add(RESERVE));
    (spare / threads.max(1)).clamp(FEW, MANY)
}

fn directory_failure(args: &Args, error: &io::Error) -> Failure {
    let directory = handfast::escape_control(&args.directory.display().to_string()).into_owned();
    let explanation = match error.kind() {
        io::ErrorKind::NotFound => Explanation::new(
            "no-directory",
            format!("directory {directory} does not exist"),
        ),
        io::ErrorKind::NotADirectory => {
            Explanation::new("no-directory", format!("{directory} is not a directory"))
                .with_fix("give the file's directory")
        }
        _ => Explanation::new("no-directory", format!("{directory} cannot be opened")),
    };
    Failure::new(code::READ, explanation.with_evidence(error.to_string()))
}

fn bind_failure(error: BindError) -> Failure {
    let explanation = match error.source.kind() {
        io::ErrorKind::AddrInUse => Explanation::new("address-in-use", error.to_string())
            .with_evidence("another program already listens on this address")
            .with_fix("stop that program, or choose another address with --listen ADDR:PORT"),
        io::ErrorKind::PermissionDenied => {
            Explanation::new("address-not-permitted", error.to_string())
                .with_evidence("ports below 1024 are privileged on this system")
                .with_fix("choose a higher port with --listen ADDR:PORT")
        }
        io::ErrorKind::AddrNotAvailable => {
            Explanation::new("address-not-available", error.to_string())
                .with_evidence("this machine does not have that address")
                .with_fix("--listen 0.0.0.0:PORT listens on all addresses")
        }
        _ => Explanation::new("cannot-listen", error.to_string())
            .with_evidence(error.source.to_string()),
    };
    Failure::new(code::OTHER, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_come_before_open_files() {
        assert_eq!(open_files_max(Some(20_000), 8_192, 2), 5_648);
        assert_eq!(open_files_max(Some(1_024), 8_192, 2), 128);
        assert_eq!(open_files_max(None, 8_192, 2), 16 * 1024);
        assert_eq!(open_files_max(Some(u64::MAX), 1, 0), 16 * 1024);
    }

    #[test]
    fn connections_leave_descriptors_for_files() {
        assert_eq!(connections_room(Some(1_024)), Some(756));
        assert_eq!(connections_room(Some(20_000)), Some(14_988));
        assert_eq!(connections_room(Some(31)), None);
        assert!(connections_room(None) > Some(1 << 60));
        assert!(connections_room(Some(u64::MAX)) > Some(1 << 60));
    }

    #[test]
    fn the_commands_shown_can_be_typed() {
        assert_eq!(output::shell_path("/a/b-c.pem".as_ref()), "/a/b-c.pem");
        assert_eq!(output::shell_path("/a b/it's".as_ref()), r"'/a b/it'\''s'");
        assert_eq!(reachable(Ipv4Addr::LOCALHOST.into()), "localhost");
        assert_eq!(reachable(Ipv6Addr::UNSPECIFIED.into()), "localhost");
        assert_eq!(reachable("10.0.0.7".parse().unwrap()), "10.0.0.7");
        assert_eq!(reachable("fd00::7".parse().unwrap()), "[fd00::7]");
    }
}
