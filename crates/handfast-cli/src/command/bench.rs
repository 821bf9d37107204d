//! `handfast bench`: load on one URL.
//!
//! Arguments and output only: the work is done by [`handfast_load`].

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgGroup;
use handfast::{ClientContextBuilder, Explanation};
use handfast_load::{
    Handshake, Measurements, Monitor, Pacing, Plan, Protocol, Second, Stop, Target, report,
};
use http::header::{self, HeaderName, HeaderValue};

use crate::clock::unix_now;
use crate::descriptors;
use crate::failure::{self, Failure, code, plain};
use crate::output;
use crate::trust_args::{TrustArgs, VersionArgs};

const EXAMPLES: &str = "\
Examples:
  handfast bench https://localhost:8443/                   10 seconds, 16 connections
  handfast bench --rate 2000 -d 30s https://localhost:8443/  latency at a constant request rate
  handfast bench --http2 --streams 16 -n 100000 https://localhost:8443/
  handfast bench --handshake full -c 64 https://localhost:8443/
  handfast bench --html report.html https://localhost:8443/

Only load servers that are yours to load. Ctrl-C ends the test and prints what was measured.

A request has failed if no complete response came, or one with a status of 400 or more. Exit codes
are curl's: 0 if nothing failed, else that of the most frequent failure, 22 for the status.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("version").args(["http1_1", "http2"]))]
pub(crate) struct Args {
    /// URL to load-test; redirects are counted, not followed
    url: String,

    #[command(flatten, next_help_heading = "Load")]
    load: Load,
    #[command(flatten, next_help_heading = "Request")]
    request: RequestArgs,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten, next_help_heading = "TLS")]
    tls: Tls,
    #[command(flatten, next_help_heading = "Output")]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct Load {
    /// Number of connections
    #[arg(short, long, value_name = "N", default_value_t = 16, value_parser = count)]
    connections: usize,
    /// Stop after N requests
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// Stop after this time, such as 500ms, 30s, 2m [default: 10s, or until -n is done]
    #[arg(short, long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Send this many requests a second, whether or not the server keeps up (open loop): latency
    /// counts from when a request was due
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// Connection reuse
    #[arg(long, value_enum, default_value_t = HandshakeArg::Keepalive)]
    handshake: HandshakeArg,
    /// Number of concurrent requests per HTTP/2 connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    streams: usize,
    /// Number of threads [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = count)]
    threads: Option<usize>,
    /// Time limit for a request, connecting included
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HandshakeArg {
    /// Keep connections open
    Keepalive,
    /// A new connection and full handshake for every request
    Full,
    /// A new connection and a resumed session for every request
    Resumed,
}

#[derive(Debug, clap::Args)]
struct RequestArgs {
    /// Use HTTP/1.1 only [default: what the server prefers]
    #[arg(long = "http1.1")]
    http1_1: bool,
    /// Use HTTP/2 only
    #[arg(long)]
    http2: bool,
    /// Request method [default: GET, or POST with a body]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<http::Method>,
    /// Send this header field, `Name: value` (repeatable)
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Body to send; @FILE reads it from a file, @- from stdin
    #[arg(long, value_name = "TEXT|@FILE")]
    data: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Tls {
    #[command(flatten)]
    versions: VersionArgs,
    /// Key exchange groups to offer, in order of preference, such as x25519 [default: X25519MLKEM768, ...]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    groups: Vec<String>,
    /// Cipher suites to offer, in order of preference
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    ciphers: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Output {
    /// Print JSON (schema handfast-bench/2)
    #[arg(long)]
    json: bool,
    /// Also write an HTML report with charts to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print only warnings and errors on stderr
    #[arg(short, long)]
    quiet: bool,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let plan = plan(&args)?;
    check_descriptors(&plan, descriptors::raise_limit())?;
    let tls = tls(&args)?;
    let mut page = args.output.html.as_deref().map(create).transpose()?;
    let stop = Stop::new();
    stop_at_interrupt(stop.clone(), args.output.html.clone());
    let mut live = Live {
        plan: &plan,
        on: io::stderr().is_terminal() && !args.output.quiet,
    };
    let about = about();
    let measured = handfast_load::run(&plan, tls, &stop, &mut live)?;
    if let Some((file, path)) = &mut page {
        file.set_len(0)
            .and_then(|()| file.write_all(report::html(&plan, &measured, &about).as_bytes()))
            .map_err(|error| unwritable(path, &error))?;
    }
    let report_text = if args.output.json {
        report::json(&plan, &measured, &about)
    } else {
        output::fit(&report::text(&plan, &measured))
    };
    match io::stdout().lock().write_all(report_text.as_bytes()) {
        // The reader has closed the pipe.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(unwritable(Path::new("stdout"), &error));
        }
        _ => {}
    }
    Ok(ExitCode::from(verdict(&measured)))
}

/// When and where this runs.
fn about() -> report::About {
    let mut versions = vec![concat!("handfast ", env!("CARGO_PKG_VERSION")).to_owned()];
    #[cfg(unix)]
    let host = {
        let system = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let (name, release) = (text(system.sysname()), text(system.release()));
        versions.push(format!("{name} {release} {}", text(system.machine())));
        text(system.nodename())
    };
    #[cfg(not(unix))]
    let host = String::new();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    versions.push(format!("{processors} processors"));
    let mut about = report::About::default();
    about.started = unix_now();
    about.host = host;
    about.versions = versions;
    about
}

/// Refuses a test that exceeds this machine's limits: its failures would look like the server's.
fn check_descriptors(plan: &Plan, limit: Option<u64>) -> Result<(), Failure> {
    /// The standard streams, the report, the resolver.
    const OTHERS: u64 = 16;
    /// Each thread's poll, its copy, and a timer.
    const OF_A_THREAD: u64 = 3;
    let connections = plan.connections as u64;
    let needed = connections + OF_A_THREAD * plan.threads as u64 + OTHERS;
    let Some(limit) = limit.filter(|limit| *limit < needed) else {
        return Ok(());
    };
    let what = format!(
        "{connections} connections need {needed} open files; this process may have {limit}"
    );
    let explanation = Explanation::new("too-many-open-files", what)
        .with_fix("raise the hard limit of open files (ulimit -Hn), or use fewer connections (-c)");
    Err(Failure::new(code::OTHER, explanation))
}

/// 0 if nothing failed, also after an interrupt; otherwise the code of the most frequent failure.
fn verdict(measured: &Measurements) -> u8 {
    let requests = &measured.requests;
    if requests.complete > 0 && !measured.any_failed() {
        return 0;
    }
    let most = measured
        .failures
        .iter()
        .max_by_key(|(_, failure)| failure.count);
    match most {
        Some((_, failure)) => match (&failure.error, failure.explanation.id) {
            (Some(error), _) => failure::exit_code_of_connect(error),
            (None, "empty-reply") => code::EMPTY_REPLY,
            (None, "http-status") => code::HTTP_STATUS,
            (None, _) => code::RECEIVE,
        },
        None if requests.unfinished > 0 => code::TIMED_OUT,
        None => code::OTHER,
    }
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let target = Target::parse(&args.url).map_err(|error| {
        let explanation = Explanation::new("invalid-url", error.to_string())
            .with_fix("give an https:// URL, as in https://localhost:8443/");
        Failure::new(code::BAD_URL, explanation)
    })?;
    let mut plan = Plan::new(target);
    let load = &args.load;
    plan.connections = load.connections;
    plan.streams = load.streams;
    plan.requests = load.requests;
    plan.request_limit = load.timeout;
    if load.duration.is_some() || load.requests.is_some() {
        plan.duration = load.duration;
    }
    if let Some(threads) = load.threads {
        plan.threads = threads;
    }
    if let Some(per_second) = load.rate {
        plan.pacing = Pacing::Open { per_second };
    }
    plan.handshake = match load.handshake {
        HandshakeArg::Keepalive => Handshake::KeepAlive,
        HandshakeArg::Full => Handshake::Full,
        HandshakeArg::Resumed => Handshake::Resumed,
    };
    let request = &args.request;
    if request.http1_1 && load.streams > 1 {
        return Err(Failure::usage(
            "HTTP/1.1 allows one request at a time per connection",
            "omit --streams, or use --http2",
        ));
    }
    plan.protocol = match (request.http1_1, request.http2) {
        (true, _) => Protocol::Http1,
        (_, true) => Protocol::Http2,
        _ => Protocol::Negotiated,
    };
    if let Some(data) = &request.data {
        plan.request.body = body(data)?.into();
        plan.request.method = http::Method::POST;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        plan.request.headers.insert(header::CONTENT_TYPE, form);
    }
    if let Some(method) = &request.method {
        plan.request.method = method.clone();
    }
    for (name, _) in &request.headers {
        plan.request.headers.remove(name);
    }
    for (name, value) in &request.headers {
        plan.request.headers.append(name, value.clone());
    }
    Ok(plan.bounded())
}

fn body(data: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match data.strip_prefix('@') {
        None => return Ok(data.as_bytes().to_vec()),
        Some("-") => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        Some(path) => fs::read(path),
    };
    read.map_err(|error| {
        let explanation = Explanation::new("file-unusable", "the body cannot be read")
            .with_evidence(format!(
                "{}: {}",
                handfast::escape_control(data),
                plain(&error)
            ));
        Failure::new(code::READ, explanation)
    })
}

fn tls(args: &Args) -> Result<ClientContextBuilder, Failure> {
    let tls = &args.tls;
    let mut builder = args.trust.builder()?;
    let versions = tls.versions.versions();
    if !versions.is_empty() {
        builder = builder.versions(versions);
    }
    if !tls.groups.is_empty() {
        builder = builder.groups(tls.groups.iter().cloned());
    }
    if !tls.ciphers.is_empty() {
        builder = builder.cipher_suites(tls.ciphers.iter().cloned());
    }
    Ok(builder)
}

/// Opened before the test, so that an error is reported before an hour of load.
fn create(path: &Path) -> Result<(fs::File, PathBuf), Failure> {
    // The file of an earlier test is kept until the new report replaces it.
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(false);
    let file = options
        .open(path)
        .map_err(|error| unwritable(path, &error))?;
    Ok((file, path.to_owned()))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let explanation = Explanation::new("file-unusable", "the report cannot be written")
        .with_evidence(format!("{}: {}", path.display(), plain(error)));
    Failure::new(code::WRITE, explanation)
}

/// The first Ctrl-C ends the test, the second the program.
fn stop_at_interrupt(stop: Stop, page: Option<PathBuf>) {
    std::thread::spawn(move || {
        let runtime = crate::runtime::current_thread();
        // Without a runtime, Ctrl-C has its default effect.
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.is_stopped() {
                    let page = page.as_deref().map_or_else(String::new, |page| {
                        format!("; {} was not written", page.display())
                    });
                    output::note(format!("interrupted twice: no report{page}"));
                    std::process::exit(130);
                }
                stop.stop();
            }
        });
    });
}

/// One line a second on a terminal.
struct Live<'p> {
    plan: &'p Plan,
    on: bool,
}

impl Monitor for Live<'_> {
    fn second(&mut self, second: &Second, so_far: &Measurements) {
        if self.on {
            output::note(report::second_line(self.plan, second, so_far));
        }
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err("expected a number from 1 to 1000000".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("expected a positive number of requests a second".to_owned()),
    }
}

/// More than nothing, and at most a century, which does not overflow.
fn duration(text: &str) -> Result<Duration, String> {
    const MAX: Duration = Duration::from_secs(3_200_000_000);
    let time = crate::span::parse(text).filter(|time| !time.is_zero() && *time < MAX);
    time.ok_or_else(|| crate::span::EXPECTED.to_owned())
}

fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    let name = name
        .trim()
        .parse::<HeaderName>()
        .map_err(|_| "not a valid header field name")?;
    let value = value
        .trim()
        .parse::<HeaderValue>()
        .map_err(|_| "not a valid header field value")?;
    Ok((name, value))
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser as _;

    use super::*;

    /// Failures before the measurement.
    pub(crate) fn failures() -> Vec<(&'static str, Failure)> {
        let full = io::Error::from_raw_os_error(28);
        let plain_http = ["handfast", "bench", "http://localhost/"];
        let crate::cli::Command::Bench(args) = crate::cli::Cli::parse_from(plain_http).command
        else {
            unreachable!("the command is bench");
        };
        let mut small = Plan::new(Target::parse("localhost").unwrap());
        small.threads = 2;
        vec![
            ("invalid-url.bench", plan(&args).unwrap_err()),
            (
                "too-many-open-files.bench",
                check_descriptors(&small, Some(20)).unwrap_err(),
            ),
            ("file-unusable.body", body("@/nowhere").unwrap_err()),
            (
                "file-unusable.report",
                unwritable(Path::new("report.html"), &full),
            ),
        ]
    }

    #[test]
    fn times_and_fields_are_read() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "-1s", "0", "1e400h", "1.2.3"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(field("X-A: b").is_ok());
        assert!(field("no colon").is_err());
        assert!(field("X: a\r\nY: b").is_err());
        assert!(rate("0").is_err() && rate("inf").is_err() && rate("12.5").is_ok());
    }
}
