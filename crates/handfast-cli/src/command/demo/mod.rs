//! `handfast demo`: exchanges on loopback, with the view of both ends.
//!
//! Five exchanges: a page, the same over a resumed session, with a client certificate, from a server that
//! truncates its reply, from a server with the wrong name. `stage.rs` sets up the servers; this file runs
//! the client, prints both views and checks whether each exchange is as expected.

mod stage;
mod words;

use std::io::{self, Write};
#[cfg(unix)]
use std::path::PathBuf;
use std::process::ExitCode;
#[cfg(unix)]
use std::sync::Arc;
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering};

use handfast::{Cause, ClientContext, Identity, PeerCause, Report, TrustAnchors};
use handfast::{Explanation, escape_control};
use handfast_https::client::{ALPN, Client, Download, Error, Finished, Request, Response};

use crate::advice::Advised as _;
use crate::columns::side_by_side;
use crate::failure::{Failure, code};
use crate::output::{self, Palette, Tone};
use stage::Stage;
use words::{agreed, cannot};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Larger than any page of the demonstration.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn run(_args: Args) -> Result<ExitCode, Failure> {
    let runtime =
        crate::runtime::current_thread().map_err(|error| cannot("start a runtime", &error))?;
    let stage = Stage::set()?;
    #[cfg(unix)]
    let interrupted = remove_at_interrupt(stage.directory().to_owned());
    let mut printer = Printer {
        palette: Palette::stdout(),
        acts: 0,
        strange: 0,
    };
    printer.print(&format!(
        "Both ends of HTTPS, on this machine: a temporary authority that may sign for local names only,\n\
         a server at https://localhost:{}/ and a client that trusts the authority.\n",
        stage.port(),
    ))?;
    let played = runtime.block_on(play(&stage, &mut printer));
    // Without its files an act fails, which is no failure of the demonstration.
    #[cfg(unix)]
    if interrupted.load(Ordering::Relaxed) {
        loop {
            // The thread that removes the files ends the process.
            std::thread::park();
        }
    }
    played?;
    printer.conclude()
}

async fn play(stage: &Stage, printer: &mut Printer) -> Result<(), Failure> {
    let context = client_context(stage, None)?;
    printer.show(
        "A page, fetched",
        &fetch(stage, &context, "/", Expect::FullHandshake).await,
    )?;
    let again = fetch(stage, &context, "/measurements.csv", Expect::Resumed).await;
    printer.show(
        "Again, over a resumed session: no certificate is sent",
        &again,
    )?;
    let named = client_context(stage, Some(stage.client_identity()?))?;
    let known = fetch(stage, &named, "/", Expect::ClientNamed).await;
    printer.show("With a client certificate", &known)?;
    printer.show(
        "A server that truncates its reply",
        &truncated(stage, &context).await,
    )?;
    printer.show(
        "A server with the wrong name",
        &wrong_name(stage, &context).await,
    )
}

fn client_context(stage: &Stage, identity: Option<Identity>) -> Result<ClientContext, Failure> {
    let trust = TrustAnchors::empty()
        .with_file(stage.authority_file())
        .map_err(handfast::Error::from)?;
    let mut builder = ClientContext::builder().trust(trust).alpn(ALPN);
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    Ok(builder.build()?)
}

/// Both ends' views of one exchange, and whether it was as expected.
struct Act {
    client: Vec<String>,
    server: Vec<String>,
    as_expected: bool,
}

/// A further expectation of a successful exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    FullHandshake,
    Resumed,
    ClientNamed,
}

async fn fetch(stage: &Stage, context: &ClientContext, path: &str, expect: Expect) -> Act {
    // A new client, so that the connection is new.
    let client = Client::new(context.clone());
    let url = format!("https://localhost:{}{path}", stage.port());
    let mut lines = Vec::new();
    let exchange = async {
        let mut response = client.send(Request::get(&url)?).await?;
        if let Some(report) = response.report() {
            lines.extend(handshake_lines(&report));
        }
        lines.push(reply_line(path, &response));
        response.bytes(PAGE_BYTES_MAX).await?;
        let report = response.report();
        Ok::<_, Error>((report, response.finish().await?))
    };
    let result = exchange.await;
    let closed = client.close().await;
    let server = stage.server_saw();
    let good = match result {
        Ok((report, finished)) => {
            lines.push(completeness_line(&finished));
            if let Some((_, outcome)) = closed.first() {
                lines.push(format!("closed in two phases: {outcome}"));
            }
            let verified = report.filter(|report| report.peer.is_some());
            match expect {
                Expect::FullHandshake => verified.is_some_and(|report| !report.resumed),
                Expect::Resumed => verified.is_some_and(|report| report.resumed),
                Expect::ClientNamed => server.iter().any(|line| line.contains(stage::CLIENT_NAME)),
            }
        }
        Err(error) => {
            lines.extend(explained(&error.advise()));
            false
        }
    };
    Act {
        client: lines,
        server,
        as_expected: good,
    }
}

async fn truncated(stage: &Stage, context: &ClientContext) -> Act {
    let mut lines = Vec::new();
    let mut good = false;
    let server = match stage.cutting_server() {
        Ok(server) => server,
        Err(failure) => {
            lines.extend(explained(&failure.explanation));
            return Act {
                client: lines,
                server: Vec::new(),
                as_expected: false,
            };
        }
    };
    let client = Client::new(context.clone());
    let url = format!("https://localhost:{}/archive.tar", server.port());
    let target = stage.download_target();
    let exchange = async {
        let mut response = client.send(Request::get(&url)?).await?;
        lines.push(reply_line("/archive.tar", &response));
        let mut download = Download::create(&target)?;
        while let Some(chunk) = response.chunk().await? {
            download.write(&chunk)?;
        }
        let finished = response.finish().await?;
        download.complete(&finished.whole)
    };
    match exchange.await {
        Ok(_) => lines.push("accepted the truncated reply, which is wrong".to_owned()),
        Err(error) => {
            good = matches!(error, Error::Truncated(_)) && !target.exists();
            lines.extend(explained(&error.advise()));
            if good {
                lines.push("archive.tar.part is kept; archive.tar was not created".to_owned());
            }
        }
    }
    Act {
        client: lines,
        server: server.saw(),
        as_expected: good,
    }
}

async fn wrong_name(stage: &Stage, context: &ClientContext) -> Act {
    let mut lines = Vec::new();
    let mut good = false;
    let mut saw = Vec::new();
    match stage.misnamed_server() {
        Err(failure) => lines.extend(explained(&failure.explanation)),
        Ok(server) => {
            let client = Client::new(context.clone());
            let url = format!("https://localhost:{}/", server.port());
            let exchange = async { client.send(Request::get(&url)?).await };
            match exchange.await {
                Ok(_) => lines.push("accepted the wrong server, which is wrong".to_owned()),
                Err(error) => {
                    good = matches!(&error, Error::Connection(error)
                        if matches!(error.cause(), Cause::Peer(PeerCause::Certificate(_))));
                    lines.extend(explained(&error.advise()));
                    lines.push("no byte of the request was sent".to_owned());
                }
            }
            saw = server.saw();
        }
    }
    Act {
        client: lines,
        server: saw,
        as_expected: good,
    }
}

/// Version, suite and group, and the server's identity.
fn handshake_lines(report: &Report) -> Vec<String> {
    let mut lines = vec![agreed(report)];
    if let Some(peer) = &report.peer {
        let names: Vec<String> = peer
            .names()
            .iter()
            .take(2)
            .map(ToString::to_string)
            .collect();
        lines.push(format!("the server is {}, verified", names.join(", ")));
    }
    lines
}

fn reply_line(path: &str, response: &Response) -> String {
    let version = format!("{:?}", response.version());
    format!(
        "GET {path}: {version} {}, {}",
        response.status(),
        response.framing()
    )
}

fn completeness_line(finished: &Finished) -> String {
    let records = finished.traffic.records_received;
    format!(
        "the body is complete: {} bytes ({records} record{} in total)",
        finished.whole.bytes(),
        if records == 1 { "" } else { "s" },
    )
}

fn explained(explanation: &Explanation) -> Vec<String> {
    std::iter::once(format!("{} [{}]", explanation.what, explanation.id))
        .chain(explanation.evidence.iter().cloned())
        .chain(explanation.fix.iter().map(|line| format!("fix: {line}")))
        .map(|line| escape_control(&line).into_owned())
        .collect()
}

/// Prints the exchanges on stdout and counts unexpected ones.
struct Printer {
    palette: Palette,
    acts: usize,
    strange: usize,
}

/// How often removing a directory is tried while a server may still write into it.
#[cfg(unix)]
const REMOVALS: usize = 20;

/// Ctrl-C removes all files, prints that and ends the process. Returns whether that has begun.
#[cfg(unix)]
fn remove_at_interrupt(directory: PathBuf) -> Arc<AtomicBool> {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    // Without a runtime, Ctrl-C has its default effect.
    let Ok(runtime) = runtime else {
        return interrupted;
    };
    // Installed here, not when the thread runs.
    let guard = runtime.enter();
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        return interrupted;
    };
    drop(guard);
    let begun = Arc::clone(&interrupted);
    std::thread::spawn(move || {
        if runtime.block_on(interrupt.recv()).is_some() {
            begun.store(true, Ordering::Relaxed);
            let name = directory.display();
            // A server may be writing a file at this moment.
            let attempts = (0..REMOVALS).map(|_| std::fs::remove_dir_all(&directory));
            match attempts.reduce(Result::or).unwrap_or(Ok(())) {
                Ok(()) => output::note("interrupted; all files were removed"),
                Err(error) => {
                    output::note(format!("interrupted; {name} could not be removed: {error}"))
                }
            }
            std::process::exit(130);
        }
    });
    interrupted
}

impl Printer {
    fn show(&mut self, title: &str, act: &Act) -> Result<(), Failure> {
        self.acts += 1;
        let mark = if act.as_expected {
            self.palette.paint(Tone::Good, "as expected")
        } else {
            self.strange += 1;
            self.palette.paint(Tone::Bad, "NOT as expected")
        };
        let title = self
            .palette
            .paint(Tone::Heading, format!("{}  {title}", self.acts));
        let columns = side_by_side(
            output::width(),
            ("the client", &act.client),
            ("the server", &act.server),
        );
        self.print(&format!("{title}: {mark}\n{columns}"))
    }

    fn conclude(&self) -> Result<ExitCode, Failure> {
        if self.strange == 0 {
            self.print(&format!("All {} as expected.\n", self.acts))?;
            return Ok(ExitCode::SUCCESS);
        }
        self.print(&format!(
            "{} of {} not as expected.\n",
            self.strange, self.acts
        ))?;
        Ok(ExitCode::from(code::OTHER))
    }

    fn print(&self, text: &str) -> Result<(), Failure> {
        match writeln!(io::stdout().lock(), "{text}") {
            // The reader has closed the pipe.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| cannot("write to stdout", &error)),
        }
    }
}
