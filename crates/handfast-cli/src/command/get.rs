//! `handfast get`: fetches, and reports whether the response is complete. Flags and exit codes are curl's.

mod arguments;
mod body;
mod context;
mod credentials;
mod data;
mod fields;
mod form;
mod interrupt;
mod outcome;
mod pieces;
mod receiving;
mod reports;
mod retry;
mod show;
mod sink;
mod timing;
mod trace;
mod transfer;
mod urls;
mod watch;
mod write_out;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use handfast_https::client::{Client, Error, Response};
use http::{Method, StatusCode};

use self::retry::Retries;
use self::show::Show;
use self::sink::{Sink, Written};
use self::transfer::Recorder;
use crate::failure::{Failure, code};
use crate::output;

pub(crate) use self::arguments::Args;

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let result = fetch_all(args);
    match result {
        Err(failure) if args.is_silent() => Ok(failure.exit_code()),
        other => other,
    }
}

fn fetch_all(args: &Args) -> Result<ExitCode, Failure> {
    let jobs = args.jobs()?;
    let show = args.show.open()?;
    let is_kept = jobs.iter().any(|job| job.target.keeps_a_part());
    let client = context::client(args)?;
    let runtime = crate::runtime::current_thread().map_err(|error| {
        let what = format!("the operating system provides no event loop: {error}");
        Failure::new(code::OTHER, handfast::Explanation::new("no-runtime", what))
    })?;
    // The file with the part that has arrived so far.
    let part = RefCell::new(None);
    let fetching = async {
        let mut last = Ok(());
        let mut began = Instant::now();
        for (number, job) in jobs.into_iter().enumerate() {
            if let Err(failure) = std::mem::replace(&mut last, Ok(())) {
                // As curl: the others are fetched nevertheless, and the exit code is that of the last one.
                if !args.is_silent() {
                    output::failure(&failure);
                }
            }
            began = Instant::now();
            let recorder = Recorder::new(&job.url, number, job.request.method());
            let telling = Telling {
                show: &show,
                recorder: &recorder,
            };
            let fetched = fetch_with_retries(args, &client, &job, &part, telling).await;
            telling.over(fetched.as_ref().map(|_| ()));
            match fetched {
                Ok(Written::All) => {}
                // The reader has closed the pipe: stop.
                Ok(Written::ReaderGone | Written::Unread(_)) => return Ok(()),
                Err(failure) => last = Err(failure),
            }
        }
        match args.total_max() {
            Some(limit) => client.close_within(limit.saturating_sub(began.elapsed())),
            None => client.close_within(Duration::MAX),
        }
        .await;
        last
    };
    let fetched = runtime.block_on(async {
        tokio::select! {
            fetched = fetching => fetched.map(|()| ExitCode::SUCCESS),
            signal = interrupt::next(is_kept) => {
                if !args.is_silent() {
                    interrupt::tell(part.borrow().as_deref());
                }
                Ok(ExitCode::from(signal))
            }
        }
    });
    // Do not wait for a resolver that hangs: a time limit has passed.
    runtime.shutdown_background();
    fetched
}

/// A transfer is recorded, and shown when it is over.
#[derive(Clone, Copy)]
struct Telling<'a> {
    show: &'a Show,
    recorder: &'a Recorder,
}

impl Telling<'_> {
    fn over(self, result: Result<(), &Failure>) {
        let mut transfer = self.recorder.transfer();
        transfer.over(result);
        self.show.over(&transfer);
    }
}

/// What came of an attempt.
enum Attempt {
    Done(Written),
    /// The server answered with this status, and is asked again after a while.
    Again(StatusCode, Duration),
}

async fn fetch_with_retries(
    args: &Args,
    client: &Client,
    job: &arguments::Job,
    part: &RefCell<Option<PathBuf>>,
    telling: Telling<'_>,
) -> Result<Written, Failure> {
    let mut retries = args.retry.begin();
    loop {
        let (why, wait) = match fetch(args, client, job, part, telling, &mut retries).await {
            Ok(Attempt::Done(written)) => return Ok(written),
            Ok(Attempt::Again(status, wait)) => (format!("the server answered {status}"), wait),
            Err(failure) => match retries.after_failure(&failure) {
                Some(wait) if job.request.is_repeatable() => (failure.explanation.what, wait),
                _ => return Err(failure),
            },
        };
        if !args.is_silent() {
            output::warning(format!(
                "{why}; trying again in {wait:?}, {} retries left",
                retries.left()
            ));
        }
        tokio::time::sleep(wait).await;
        telling.recorder.restart();
    }
}

async fn fetch(
    args: &Args,
    client: &Client,
    job: &arguments::Job,
    part: &RefCell<Option<PathBuf>>,
    telling: Telling<'_>,
    retries: &mut Retries<'_>,
) -> Result<Attempt, Failure> {
    let deadline = args
        .total_max()
        .and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let Telling { show, recorder } = telling;
    let explained = |error: Error| {
        recorder.transfer().broken(&error);
        outcome::explained(error)
    };
    part.replace(None);
    let method = job.request.method().clone();
    let request = show.observe(job.request.clone(), recorder);
    let mut response = client.send(request).await.map_err(explained)?;
    recorder.transfer().responding(&response);
    if job.request.is_repeatable()
        && let Some(wait) = retries.after_reply(response.status(), response.headers())
    {
        let status = response.status();
        response.discard().await;
        return Ok(Attempt::Again(status, wait));
    }
    if args.fails_on_error()
        && let Err(error) = response.error_for_status()
    {
        response.discard().await;
        return Err(explained(error));
    }
    let refused = match args.fails_with_body() {
        true => response.error_for_status().err(),
        false => None,
    };
    if let Err(error) = args.receiving.apply(&mut response) {
        response.discard().await;
        return Err(explained(error));
    }
    let mut sink = Sink::open(job.target.clone(), deadline).map_err(explained)?;
    part.replace(sink.part());
    recorder.transfer().file = sink.path();
    let written = copy(args, &method, &mut response, &mut sink, show)
        .await
        .map_err(explained);
    recorder.transfer().received = response.received();
    if sink.is_mid_line() && (args.is_verbose() || written.is_err()) && io::stderr().is_terminal() {
        // Otherwise the next message would follow the last byte of the body.
        output::note("");
    }
    if sink.is_spent() {
        retries.forbid();
    }
    match written {
        Ok(Written::All) => {}
        Ok(Written::ReaderGone) => return Ok(Attempt::Done(Written::ReaderGone)),
        Ok(Written::Unread(limit)) => return Err(outcome::unread(limit)),
        Err(failure) => return Err(sink.keep(failure)),
    }
    let finished = match response.finish().await {
        Ok(finished) => finished,
        Err(error) => return Err(sink.keep(explained(error))),
    };
    recorder.transfer().finished(&finished);
    if args.includes_head()
        && let Some(trailers) = &finished.trailers
    {
        // As curl: behind the body, as they came.
        let text = watch::fields_text(trailers, sink.is_terminal());
        match sink.write(&text) {
            Ok(Written::All) => {}
            Ok(Written::ReaderGone) => return Ok(Attempt::Done(Written::ReaderGone)),
            Ok(Written::Unread(limit)) => return Err(outcome::unread(limit)),
            Err(error) => return Err(sink.keep(explained(error))),
        }
    }
    sink.complete(&finished.whole).map_err(explained)?;
    part.replace(None);
    if !args.is_silent() {
        outcome::remark(&finished);
    }
    match refused {
        Some(error) => Err(explained(error)),
        None => Ok(Attempt::Done(Written::All)),
    }
}

async fn copy(
    args: &Args,
    method: &Method,
    response: &mut Response,
    sink: &mut Sink,
    show: &Show,
) -> Result<Written, Error> {
    if args.includes_head() || *method == Method::HEAD {
        let head = watch::head_text(
            response.version(),
            response.status(),
            response.headers(),
            sink.is_terminal(),
        );
        match sink.write(&head)? {
            Written::All => {}
            stopped => return Ok(stopped),
        }
    }
    let stopped = response
        .lend(|piece| {
            show.received(piece);
            match sink.write(piece) {
                Ok(Written::All) => ControlFlow::Continue(()),
                stopped => ControlFlow::Break(stopped),
            }
        })
        .await;
    stopped.and_then(|stopped| stopped.unwrap_or(Ok(Written::All)))
}
