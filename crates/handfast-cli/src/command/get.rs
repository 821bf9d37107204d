//! `handfast get`: fetches, and reports whether the response is complete. Flags and exit codes are curl's.

mod accepted;
mod arguments;
mod body;
mod condition;
mod config_file;
mod connection;
mod context;
mod cookies;
mod credentials;
mod data;
mod destination;
mod fields;
mod form;
mod globs;
mod heads;
mod integrity;
mod interrupt;
mod many;
mod offer;
mod offset;
mod outcome;
mod page;
mod pieces;
mod progress;
mod proxy;
mod ranges;
mod receiving;
mod reports;
mod retry;
mod show;
mod sink;
mod timing;
mod trace;
mod transfer;
mod turns;
mod urls;
mod watch;
mod write_out;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::iter;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use handfast_https::client::{Begun, Client, CookieJar, Error, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};

use self::arguments::{Job, Plan, Planned};
use self::destination::Target;
use self::heads::{Head, HeadFile, Heads};
use self::integrity::Digests;
use self::offset::Offset;
use self::page::{Binary, Page};
use self::progress::Meter;
use self::ranges::Continuation;
use self::retry::Retries;
use self::show::Show;
use self::sink::{Sink, Written};
use self::transfer::Recorder;
use self::turns::Turns;
use crate::failure::{Failure, code};
use crate::output;

pub(crate) use self::arguments::Args;
pub(crate) use self::config_file::expand;

pub(crate) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let result = fetch_all(args);
    match result {
        Err(failure) if args.is_silent() => Ok(failure.exit_code()),
        other => other,
    }
}

fn fetch_all(args: &Args) -> Result<ExitCode, Failure> {
    let later = args.later();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for args in iter::once(args).chain(&later) {
        let show = match sections.first() {
            None => args.show.open(args.hides_progress())?,
            Some(first) => args.show.open_after(&first.show)?,
        };
        sections.push(Section::open(args, show)?);
    }
    let is_kept = sections.iter().any(|one| one.args.output.keeps_parts());
    let runtime = crate::runtime::current_thread().map_err(|error| {
        let what = format!("the operating system provides no event loop: {error}");
        Failure::new(code::OTHER, handfast::Explanation::new("no-runtime", what))
    })?;
    let parts = Parts::default();
    let fetching = async {
        let mut last = code::SUCCESS;
        for section in &sections {
            match section.fetch(&parts, last).await {
                ControlFlow::Continue(code) => last = code,
                ControlFlow::Break(code) => return code,
            }
        }
        last
    };
    let show = sections.first().map(|section| &section.show);
    let drawing = async {
        match show {
            Some(show) => show.draw().await,
            None => std::future::pending().await,
        }
    };
    let code = runtime.block_on(async {
        tokio::select! {
            code = fetching => code,
            signal = interrupt::next(is_kept) => {
                if let Some(show) = show {
                    show.clear();
                }
                if !args.is_silent() {
                    parts.tell();
                }
                signal
            }
            never = drawing => match never {},
        }
    });
    // Do not wait for a resolver that hangs: a time limit has passed.
    runtime.shutdown_background();
    for section in &sections {
        match section.args.cookies.save(section.jar.as_ref()) {
            Err(failure) if code == code::SUCCESS => return Err(failure),
            Err(failure) => section.print(&failure),
            Ok(()) => {}
        }
    }
    Ok(ExitCode::from(code))
}

/// The files with the parts that have arrived so far, of all transfers that go on.
#[derive(Default)]
struct Parts(RefCell<Vec<Part>>);

type Part = Rc<RefCell<Option<PathBuf>>>;

impl Parts {
    fn add(&self) -> Part {
        let part = Part::default();
        self.0.borrow_mut().push(Rc::clone(&part));
        part
    }

    fn remove(&self, part: &Part) {
        self.0.borrow_mut().retain(|one| !Rc::ptr_eq(one, part));
    }

    fn tell(&self) {
        let parts = self.0.borrow();
        let mut paths: Vec<_> = parts
            .iter()
            .filter_map(|part| part.borrow().clone())
            .collect();
        paths.sort();
        if paths.is_empty() {
            interrupt::tell(None);
        }
        for path in &paths {
            interrupt::tell(Some(path));
        }
    }
}

/// URLs that have their options in common.
struct Section<'a> {
    args: &'a Args,
    plan: Plan<'a>,
    show: Show,
    heads: Option<HeadFile>,
    jar: Option<CookieJar>,
    client: Client,
}

/// A transfer that is over.
struct Ended {
    number: usize,
    recorder: Recorder,
    result: Result<Done, Failure>,
    /// What is said of it waits until it is its turn.
    is_in_order: bool,
}

impl<'a> Section<'a> {
    fn open(args: &'a Args, show: Show) -> Result<Self, Failure> {
        let plan = args.plan()?;
        let heads = match args.output.heads() {
            Some(path) => Some(HeadFile::create(path)?),
            None => None,
        };
        let first = plan.first_url().unwrap_or_default();
        let jar = args.cookies.jar(&first, args.is_silent())?;
        let client = context::client(args, jar.as_ref())?;
        Ok(Self {
            args,
            plan,
            show,
            heads,
            jar,
            client,
        })
    }

    fn print(&self, failure: &Failure) {
        if !self.args.is_silent() {
            output::failure(failure);
        }
    }

    /// Fetches all of it. Gives the exit code up to now, or the one to end with at once.
    async fn fetch(&self, parts: &Parts, mut last: u8) -> ControlFlow<u8, u8> {
        let at_once = self.args.many.at_once();
        let turns = (at_once > 1).then(|| Turns::new(sink::out()));
        let mut urls = self.plan.urls().enumerate().fuse();
        let mut running = FuturesUnordered::new();
        let mut over = BTreeMap::new();
        let mut next = 0;
        let mut began = Instant::now();
        loop {
            while running.len() < at_once
                && turns.as_ref().is_none_or(|turns| turns.admits(next))
                && let Some((number, planned)) = urls.next()
            {
                next = number + 1;
                began = Instant::now();
                running.push(self.fetch_one(number, planned, turns.as_ref(), parts));
            }
            let Some(ended) = running.next().await else {
                break;
            };
            let Ended {
                number, recorder, ..
            } = ended;
            match ended.result {
                // As curl: the exit code is that of the last URL, or if several are fetched at once, of the last failure.
                Ok(Done::Whole) if at_once == 1 => last = code::SUCCESS,
                Ok(Done::Whole) => {}
                Ok(Done::ReaderGone) => return ControlFlow::Break(self.reader_gone()),
                Err(failure) => {
                    self.print(&failure);
                    last = failure.code;
                    if self.args.many.fails_early() {
                        self.show.over(&recorder.transfer());
                        return ControlFlow::Break(last);
                    }
                }
            }
            match &turns {
                Some(turns) if ended.is_in_order => {
                    over.insert(number, recorder);
                    let written = turns.end(number, |number| {
                        if let Some(recorder) = over.remove(&number) {
                            self.show.over(&recorder.transfer());
                        }
                    });
                    if let Err(error) = written {
                        return ControlFlow::Break(self.unwritable(&error));
                    }
                }
                _ => self.show.over(&recorder.transfer()),
            }
        }
        let limit = match self.args.total_max() {
            Some(limit) => limit.saturating_sub(began.elapsed()),
            None => Duration::MAX,
        };
        self.client.close_within(limit).await;
        ControlFlow::Continue(last)
    }

    /// Nothing more can be written: the exit code.
    fn reader_gone(&self) -> u8 {
        if self.args.output.allows_closed_pipe() {
            return code::SUCCESS;
        }
        let failure = outcome::reader_gone();
        self.print(&failure);
        failure.code
    }

    fn unwritable(&self, error: &io::Error) -> u8 {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return self.reader_gone();
        }
        let failure = destination::unusable("stdout".as_ref(), "write", error);
        self.print(&failure);
        failure.code
    }

    async fn fetch_one(
        &self,
        number: usize,
        planned: Planned,
        turns: Option<&Turns>,
        parts: &Parts,
    ) -> Ended {
        let job = planned.job;
        let method = job
            .as_ref()
            .map_or(&Method::GET, |job| job.request.method());
        let recorder = Recorder::new(&planned.url, planned.number, method);
        let mut is_in_order = true;
        let result = match job {
            Err(failure) => Err(failure),
            Ok(job) => {
                is_in_order = matches!(job.target, Target::Stdout) || self.show.has_format();
                if let Some(turns) = turns.filter(|_| !is_in_order) {
                    // It writes nothing there: the others do not wait for it.
                    let _ = turns.end(number, |_| {});
                }
                let part = parts.add();
                let telling = Telling {
                    show: &self.show,
                    recorder: &recorder,
                    heads: self.heads.as_ref(),
                    meter: &Meter::default(),
                    turn: turns.map(|turns| (turns, number)),
                };
                let fetched =
                    fetch_with_retries(self.args, &self.client, &job, &part, telling).await;
                parts.remove(&part);
                fetched
            }
        };
        recorder.transfer().over(result.as_ref().map(|_| ()));
        Ended {
            number,
            recorder,
            result,
            is_in_order,
        }
    }
}

/// A transfer is recorded, and shown when it is over.
#[derive(Clone, Copy)]
struct Telling<'a> {
    show: &'a Show,
    recorder: &'a Recorder,
    heads: Option<&'a HeadFile>,
    meter: &'a Meter,
    /// If several are fetched at once: the way to stdout, and the place among them.
    turn: Option<(&'a Turns, usize)>,
}

/// What came of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Whole,
    /// The reader of stdout has closed it.
    ReaderGone,
}

/// What came of an attempt.
enum Attempt {
    Done(Done),
    /// The server answered with this status, and is asked again after a while.
    Again(StatusCode, Duration),
}

async fn fetch_with_retries(
    args: &Args,
    client: &Client,
    job: &Job,
    part: &RefCell<Option<PathBuf>>,
    telling: Telling<'_>,
) -> Result<Done, Failure> {
    let mut retries = args.retry.begin();
    let mut offset = args.ranges.offset();
    loop {
        let meter = telling.show.meter(job.shown_name().as_deref());
        let telling = Telling {
            meter: &meter,
            ..telling
        };
        let fetched = fetch(args, client, job, part, telling, offset, &mut retries).await;
        meter.over(matches!(fetched, Ok(Attempt::Done(Done::Whole))));
        // What came goes on where it stopped, unless it was no more than a part that was requested.
        let keeps_part = part.borrow().is_some() && args.ranges.wants_whole(job.request.method());
        let (why, wait) = match fetched {
            Ok(Attempt::Done(done)) => return Ok(done),
            Ok(Attempt::Again(status, wait)) => (format!("the server answered {status}"), wait),
            Err(failure) => match retries.after_failure(&failure, keeps_part) {
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
        if keeps_part {
            offset = Some(Offset::WhereItStopped);
        }
    }
}

async fn fetch(
    args: &Args,
    client: &Client,
    job: &Job,
    part: &RefCell<Option<PathBuf>>,
    telling: Telling<'_>,
    offset: Option<Offset>,
    retries: &mut Retries<'_>,
) -> Result<Attempt, Failure> {
    let deadline = args
        .total_max()
        .and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let Telling {
        show,
        recorder,
        heads: head_file,
        meter,
        turn,
    } = telling;
    let explained = |error: Error| {
        recorder.transfer().broken(&error);
        outcome::explained(error)
    };
    part.replace(None);
    let shows_heads = args.output.includes_head() || *job.request.method() == Method::HEAD;
    let heads = Heads::default();
    let mut continuation = Continuation::open(&job.target, offset, args.is_silent())?;
    let (mut response, shown) = loop {
        let mut request = continuation.ask(show.observe(job.request.clone(), recorder, meter));
        if shows_heads || head_file.is_some() {
            request = heads.note(request);
        }
        let sent = client.send(request).await;
        let heads = heads.take();
        if let Some(file) = head_file {
            file.write(&heads)?;
        }
        let mut response = sent.map_err(explained)?;
        recorder.transfer().responding(&response);
        if job.request.is_repeatable()
            && let Some(wait) = retries.after_reply(response.status(), response.headers())
        {
            let status = response.status();
            response.discard().await;
            return Ok(Attempt::Again(status, wait));
        }
        let is_end =
            continuation.is_asking() && response.status() == StatusCode::RANGE_NOT_SATISFIABLE;
        if args.output.fails_on_error()
            && !is_end
            && let Err(error) = response.error_for_status()
        {
            response.discard().await;
            return Err(explained(error));
        }
        let is_unmet = job.condition.is_some_and(|one| !one.is_met(&response));
        let is_old = is_unmet || response.status() == StatusCode::NOT_MODIFIED;
        if is_old && matches!(job.target, Target::File(_)) {
            // What is there already stays as it is.
            response.discard().await;
            return Ok(Attempt::Done(Done::Whole));
        }
        if is_unmet {
            if shows_heads {
                let mut sink = Sink::open(&job.target, None, &response, false, deadline)?;
                if let Some((turns, number)) = turn {
                    sink.through(turns.writer(number));
                }
                write_heads(&heads, &mut sink).map_err(explained)?;
            }
            response.discard().await;
            return Ok(Attempt::Done(Done::Whole));
        }
        let applied = args.receiving.apply(&mut response).map_err(explained);
        match applied.and_then(|()| continuation.begin(&response)) {
            Ok(Begun::AskAgain) => response.discard().await,
            Ok(Begun::Complete) => {
                let finished = response.finish().await.map_err(explained)?;
                if let Some(download) = continuation.into_download() {
                    let mut digests = args.integrity.given();
                    digests.update_from(download.path(), download.held())?;
                    digests.check()?;
                    download.complete(&finished.whole).map_err(explained)?;
                }
                return Ok(Attempt::Done(Done::Whole));
            }
            Ok(_) => break (response, if shows_heads { heads } else { Vec::new() }),
            Err(failure) => {
                response.discard().await;
                return Err(failure);
            }
        }
    };
    let refused = match args.output.fails_with_body() {
        true => response.error_for_status().err(),
        false => None,
    };
    let held = continuation.held();
    let begun = continuation.into_download();
    let mut sink = Sink::open(&job.target, begun, &response, !shows_heads, deadline)?;
    if let Some((turns, number)) = turn {
        sink.through(turns.writer(number));
    }
    part.replace(sink.part());
    recorder.transfer().file = sink.path();
    let method = job.request.method();
    let mut digests = args.integrity.digests(method, &response, held > 0);
    if let Some(path) = sink.path_of_held() {
        digests.update_from(path, held)?;
    }
    let mut page = match job.target {
        Target::Stdout if !job.is_forced => {
            Page::new(sink.is_terminal(), is_json(response.headers()))
        }
        _ => None,
    };
    let written = match write_heads(&shown, &mut sink) {
        Ok(Written::All) => {
            copy(
                &mut response,
                &mut sink,
                page.as_mut(),
                &mut digests,
                telling,
            )
            .await
        }
        stopped => stopped,
    };
    let written = written.map_err(explained);
    recorder.transfer().received = response.received();
    if sink.is_mid_line() && (args.is_verbose() || written.is_err()) && io::stderr().is_terminal() {
        // Otherwise the next message would follow the last byte of the body.
        output::note("");
    }
    if sink.is_spent() {
        retries.forbid();
    }
    if page.is_some_and(|page| page.is_binary()) {
        return Err(outcome::binary());
    }
    let keep = |sink: Sink, failure| Err(sink.keep(failure, args.output.removes_on_error()));
    match written {
        Ok(Written::All) => {}
        Ok(Written::ReaderGone) => return Ok(Attempt::Done(Done::ReaderGone)),
        Ok(Written::Unread(limit)) => return Err(outcome::unread(limit)),
        Err(failure) => return keep(sink, failure),
    }
    let finished = match response.finish().await {
        Ok(finished) => finished,
        Err(error) => return keep(sink, explained(error)),
    };
    if let Err(failure) = args.integrity.check_close(&finished) {
        return keep(sink, failure);
    }
    if let Err(failure) = digests.check() {
        return Err(sink.reject(failure, args.output.removes_on_error()));
    }
    if args.output.includes_head()
        && let Some(trailers) = &finished.trailers
    {
        // As curl: behind the body, as they came.
        let text = watch::fields_text(trailers, sink.is_terminal());
        match sink.write(&text) {
            Ok(Written::All) => {}
            Ok(Written::ReaderGone) => return Ok(Attempt::Done(Done::ReaderGone)),
            Ok(Written::Unread(limit)) => return Err(outcome::unread(limit)),
            Err(error) => return keep(sink, explained(error)),
        }
    }
    sink.complete(&finished.whole).map_err(explained)?;
    part.replace(None);
    if !args.is_silent() {
        outcome::remark(&finished);
    }
    match refused {
        Some(error) => Err(explained(error)),
        None => Ok(Attempt::Done(Done::Whole)),
    }
}

/// For `-i` and `-I`: the heads before the body, those of redirects included.
fn write_heads(heads: &[Head], sink: &mut Sink) -> Result<Written, Error> {
    for head in heads {
        match sink.write(&head.text(sink.is_terminal()))? {
            Written::All => {}
            stopped => return Ok(stopped),
        }
    }
    Ok(Written::All)
}

async fn copy(
    response: &mut Response,
    sink: &mut Sink,
    mut page: Option<&mut Page>,
    digests: &mut Digests,
    telling: Telling<'_>,
) -> Result<Written, Error> {
    let stopped = response
        .lend(|piece| {
            telling.show.received(piece, telling.meter);
            digests.update(piece);
            let written = match &mut page {
                None => sink.write(piece),
                Some(page) => match page.render(piece) {
                    Ok(text) => sink.write(&text),
                    Err(Binary) => return ControlFlow::Break(Ok(Written::All)),
                },
            };
            match written {
                Ok(Written::All) => ControlFlow::Continue(()),
                stopped => ControlFlow::Break(stopped),
            }
        })
        .await;
    match (stopped?, page) {
        (Some(stopped), _) => stopped,
        (None, Some(page)) => sink.write(&page.end()),
        (None, None) => Ok(Written::All),
    }
}

/// Does the response say that it is JSON (RFC 6839, section 3.1, for the names that end with it)?
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = text.and_then(|text| text.split(';').next());
    kind.is_some_and(|kind| {
        let kind = kind.trim().to_ascii_lowercase();
        kind == "application/json" || kind.ends_with("+json")
    })
}
