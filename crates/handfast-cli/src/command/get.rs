//! `handfast get`: fetch, and say whether all of it arrived. Flags and exit codes are curl's.

mod arguments;
mod context;
mod outcome;
mod sink;
mod watch;

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use handfast_https::client::{Client, Response};
use http::Method;

use self::outcome::explained;
use self::sink::{Sink, Written};
use crate::failure::{Failure, code};
use crate::output;

pub(crate) use self::arguments::Args;

pub(crate) fn run(args: Args) -> Result<ExitCode, Failure> {
    let result = fetch_all(&args);
    match result {
        Err(failure) if args.is_silent() => Ok(failure.exit_code()),
        Err(failure) => Err(failure),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

fn fetch_all(args: &Args) -> Result<(), Failure> {
    let jobs = args.jobs()?;
    let client = context::client(args)?;
    let runtime = crate::runtime::current_thread().map_err(|error| {
        let what = format!("the operating system gives no event loop: {error}");
        Failure::new(code::OTHER, handfast::Explanation::new("no-runtime", what))
    })?;
    let fetched = runtime.block_on(async {
        let mut last = Ok(());
        let mut began = Instant::now();
        for job in jobs {
            if let Err(failure) = std::mem::replace(&mut last, Ok(())) {
                // As curl does it: the others are fetched all the same, the last one's code counts.
                if !args.is_silent() {
                    output::failure(&failure);
                }
            }
            began = Instant::now();
            match fetch(args, &client, job).await {
                Ok(Written::All) => {}
                // Nobody reads any more what we write: there is nothing left to do.
                Ok(Written::ReaderGone) => return Ok(()),
                Err(failure) => last = Err(failure),
            }
        }
        match args.total_max() {
            Some(limit) => client.close_within(limit.saturating_sub(began.elapsed())),
            None => client.close_within(Duration::MAX),
        }
        .await;
        last
    });
    // A resolver that does not come back is not waited for: a limit on time has passed.
    runtime.shutdown_background();
    fetched
}

async fn fetch(args: &Args, client: &Client, job: arguments::Job) -> Result<Written, Failure> {
    let method = job.request.method().clone();
    let mut response = client.send(job.request).await.map_err(explained)?;
    if args.fails_on_error()
        && let Err(error) = response.error_for_status()
    {
        response.discard().await;
        return Err(explained(error));
    }
    let mut sink = Sink::open(job.target).map_err(explained)?;
    let written = copy(args, &method, &mut response, &mut sink).await;
    if sink.is_mid_line() && (args.is_verbose() || written.is_err()) && io::stderr().is_terminal() {
        // What is said next would otherwise follow the body's last byte.
        output::note("");
    }
    match written {
        Ok(Written::All) => {}
        Ok(Written::ReaderGone) => return Ok(Written::ReaderGone),
        Err(failure) => return Err(sink.keep(failure)),
    }
    let finished = match response.finish().await {
        Ok(finished) => finished,
        Err(error) => return Err(sink.keep(explained(error))),
    };
    sink.complete(&finished.whole).map_err(explained)?;
    if !args.is_silent() {
        outcome::remark(&finished);
    }
    Ok(Written::All)
}

async fn copy(
    args: &Args,
    method: &Method,
    response: &mut Response,
    sink: &mut Sink,
) -> Result<Written, Failure> {
    if args.includes_head() || *method == Method::HEAD {
        let head = watch::head_text(response, sink.is_terminal());
        if sink.write(&head).map_err(explained)? == Written::ReaderGone {
            return Ok(Written::ReaderGone);
        }
    }
    let stopped = response
        .lend(|piece| match sink.write(piece) {
            Ok(Written::All) => ControlFlow::Continue(()),
            stopped => ControlFlow::Break(stopped),
        })
        .await;
    stopped
        .and_then(|stopped| stopped.unwrap_or(Ok(Written::All)))
        .map_err(explained)
}
