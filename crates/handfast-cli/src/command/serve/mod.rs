//! `handfast serve`: a directory over HTTPS.
//!
//! On stdout: its addresses and how to reach it. On stderr: a line for each request, each failed
//! handshake, each connection that ended abnormally.

mod announce;
mod args;
mod audit;
mod context;
mod lines;
mod lists;
mod log;
mod room;
mod stop;
mod warnings;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use handfast::Explanation;
use handfast_files::Files;
use handfast_https::server::{BindError, Limits, Server, ServerConfig};

pub(crate) use self::args::Args;
use self::log::{Log, Writer};
use self::room::{connections_room, open_files_max, too_few_descriptors};
use self::stop::{Renewal, Signals, no_signals, until_stopped};
use crate::failure::{Failure, code};
use crate::output;

/// The default port, on both loopback addresses.
const PORT_DEFAULT: u16 = 8443;

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
    announce::announce(&args, &prepared, running.local_addrs())?;
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
