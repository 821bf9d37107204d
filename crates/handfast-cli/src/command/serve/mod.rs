//! `handfast serve`: a directory over HTTPS.
//!
//! On stdout: its addresses and how to reach it. On stderr: a line for each request, each failed
//! handshake, each connection that ended abnormally.
//!
//! ```text
//! args, config (handfast.toml) -> settings -> context: certificates, clients, files -> Server
//!                       ^             `-> check, print            |
//!                       `------------------ reload <------------- watch
//! ```

mod announce;
mod answers;
mod args;
mod bind;
mod certificates;
mod check;
mod config;
mod context;
mod desk;
mod held;
mod identities;
mod inherited;
mod judge;
mod last_read;
mod listen;
mod lists;
mod log;
mod names;
mod numbers;
mod once;
mod print;
mod reading;
mod reload;
mod room;
mod sandbox;
mod settings;
mod stamp;
mod status;
mod stop;
mod supervisor;
mod takeover;
mod warnings;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use handfast::Explanation;
use handfast_https::server::{Listener, Server, ServerConfig};
use handfast_site::Sites;

pub(crate) use self::args::Args;
use self::certificates::Remarks;
use self::config::choices::Demand;
use self::config::{Config, Place, Problem};
use self::held::Held;
use self::listen::{Beginning, Listeners};
#[cfg(target_os = "linux")]
pub(crate) use self::listen::{HelperArgs, run_helper};
use self::log::Logs;
use self::numbers::Numbers;
use self::reading::{read, say};
use self::reload::{Reload, Start};
use self::room::{connections_room, open_files_max, too_few_descriptors};
use self::settings::Settings;
use self::stop::{Signals, no_signals, until_stopped};
use self::supervisor::Supervisor;
use self::takeover::Claim;
use self::watch::Watch;
use crate::failure::{Failure, code};
use crate::output;

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.configuration.schema {
        output::write_stdout(config::schema::schema_text().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.configuration.check {
        return check::run(&args);
    }
    let watch = reload::watch_configuration(&args);
    let (settings, config) = read(&args).map_err(all_but_one)?;
    if args.configuration.print_config {
        output::write_stdout(print::text(&settings).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    serve(args, settings, config, watch)
}

/// Prints failures; the last one is left to the caller.
fn all_but_one(mut failures: Vec<Failure>) -> Failure {
    let last = failures.pop().unwrap_or_else(|| {
        let what = "the configuration cannot be used";
        Failure::new(code::OTHER, Explanation::new("configuration-invalid", what))
    });
    for failure in &failures {
        output::failure(failure);
    }
    last
}

fn serve(
    args: Args,
    settings: Settings,
    config: Option<Config>,
    mut watch: Watch,
) -> Result<ExitCode, Failure> {
    let text = config.as_ref().map(|config| &config.text);
    let descriptors = crate::descriptors::raise_limit();
    let mut limits = settings.limits;
    let room = connections_room(descriptors).ok_or_else(too_few_descriptors)?;
    if room < limits.connections_max {
        output::warning(format!(
            "at most {room} connections at once instead of {}: this process may have {} descriptors (ulimit -n)",
            limits.connections_max,
            descriptors.unwrap_or_default()
        ));
        limits.connections_max = room;
    }
    let threads = settings
        .threads
        .or_else(|| std::thread::available_parallelism().ok());
    let threads = threads.map_or(1, std::num::NonZeroUsize::get);
    let open_files = open_files_max(descriptors, limits.connections_max, threads);
    listen::check_permitted(&settings)
        .map_err(|problem| all_but_one(config::shown(vec![*problem], text)))?;
    let mut held = Held::default();
    let mut remarks = Remarks::default();
    // Before the files are read: what changes in between is seen later.
    watch.add(reload::watched(&settings));
    let own_addresses = names::addresses();
    let prepared = context::prepare(&settings, &mut held, open_files, None, &mut remarks);
    say(&remarks, text);
    let prepared = prepared.map_err(|problems| all_but_one(config::shown(problems, text)))?;
    watch.complete();
    let logs = Logs::open(&settings.log, held.logs.clone());
    let logs = logs.map_err(|problem| all_but_one(config::shown(vec![*problem], text)))?;
    let sites = Sites::new(prepared.sites.clone());
    let numbers = Numbers::new();
    numbers.set_certificates(numbers::certificates(&prepared.identities));
    let mut server = ServerConfig::new(prepared.context.clone())
        .limits(limits)
        .close_policy(settings.close.into())
        .observer(logs.observer(Arc::clone(&numbers), sites.clone()));
    // The process that runs goes on until this one serves.
    let mut claim = Claim::begin(settings.takeover.as_deref())?;
    claim.give_tickets(&prepared.context);
    let beginning = Beginning::of(&settings, &mut claim)?;
    let (listeners, redirects_from) = (beginning.listeners, beginning.redirects_from);
    server = listeners.into_iter().fold(server, ServerConfig::listener);
    if let Some(threads) = settings.threads {
        server = server.threads(threads);
    }
    let server = Server::bind(server, sites.clone()).map_err(|error| {
        let place = settings.place_of(error.address.as_ref());
        let failure = bind::failure(&error, bind::Listens::Sites, &place);
        Problem::of(&place, failure).into_failure(text)
    })?;
    let status = settings.status.map(|address| {
        if status::is_public(&address) && settings.sites.iter().any(|site| site.clients.demand != Demand::Required) {
            output::warning(
                "the status page is for everyone who can connect to its address; where client certificates are required, for such clients",
            );
        }
        let sources = status::Sources {
            numbers: Arc::clone(&numbers),
            gauges: server.gauges(),
            log: logs.handle(),
        };
        let context = prepared.of_status.clone();
        let key = takeover::key_of_status(&address);
        let listener = claim.take(&key);
        let listener = listener.unwrap_or_else(|| Listener::address(address.0));
        let server = status::bind(listener, context, sources, |error| {
            let place = match (args.running.status, &config) {
                (None, Some(_)) => Place::File(0..0),
                _ => Place::Unset,
            };
            bind::failure(&error, bind::Listens::Status, &place)
        })?;
        Ok::<_, Failure>((key, server))
    });
    let (status_key, status) = status.transpose()?.unzip();
    let addresses = server.local_addrs();
    let of_status = status.as_ref().map(Server::local_addrs).unwrap_or_default();
    let mut all = server.addresses();
    let redirects = all.split_off(redirects_from.min(all.len()));
    let mut announcement = announce::redirects(&redirects);
    announcement.push_str(&announce::unix(&all));
    announcement.push_str(&announce::text(
        &settings,
        &prepared.identities,
        &addresses,
        &of_status,
        &prepared.sites,
    ));
    if args.qr {
        let covers = |ip| announce::covers(&prepared.identities, ip);
        announcement.extend(desk::qr(&addresses, covers));
    }
    if args.open {
        desk::open(&addresses);
    }
    let supervisor = Supervisor::from_environment(claim.predecessor());
    let opener = listen::opener(&args, &settings, threads);
    // Everything is open, and there is one thread.
    sandbox::enter(&args, &settings, &prepared.identities)?;
    watch.lose_sight();
    logs.begin()?;
    let status = status.map(status::start).transpose()?.map(Arc::new);
    // Created before clients can connect, while descriptors are available.
    let runtime = crate::runtime::current_thread().map_err(no_signals)?;
    claim.check()?;
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
        Signals::new().map_err(no_signals)?
    };
    let listeners = Listeners::new(beginning.counts, &running, opener);
    let keys = listeners.keys();
    let start = Start {
        args,
        config,
        settings,
        held,
        open_files_max: open_files,
        watch,
        addresses: own_addresses,
        numbers,
        status: status.clone(),
        listeners,
    };
    let context = prepared.context.clone();
    let reload = Reload::new(start, prepared, sites, &remarks);
    // Clients can connect now. Where the reader has closed the pipe, the server is still of use.
    announce::print(announcement)?;
    let log = logs.handle();
    let is_quiet = reload.settings().log.is_quiet();
    let of_status = status_key.zip(status.clone());
    let control = match claim.complete(&running, keys, of_status, &context, is_quiet) {
        Ok(control) => control,
        Err(failure) => {
            // The other process serves: clients that this one has accepted get their replies.
            running.retire(reload.settings().grace);
            running.join();
            return Err(failure);
        }
    };
    let result = until_stopped(runtime, running, signals, log, reload, supervisor, control);
    drop(status);
    logs.finish();
    result
}
