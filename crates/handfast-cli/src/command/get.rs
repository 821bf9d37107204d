//! `handfast get`: fetches, and reports whether the response is complete. Flags and exit codes are curl's.

mod absent;
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
mod etag;
mod fetch;
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
mod segments;
mod show;
mod sink;
mod telling;
mod timing;
mod trace;
mod transfer;
mod turns;
mod urls;
mod watch;
mod write_out;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::iter;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use handfast_https::client::{Client, CookieJar};
use http::Method;

use self::arguments::{Plan, Planned};
use self::destination::Target;
use self::fetch::{Done, fetch_with_retries};
use self::heads::{HeadFile, HeadFiles};
use self::progress::Meter;
use self::show::Show;
use self::sink::Kept;
use self::telling::Telling;
use self::transfer::Recorder;
use self::turns::Turns;
use crate::failure::{Failure, code};
use crate::output;

pub(crate) use self::absent::absent;
pub(crate) use self::arguments::Args;
pub(crate) use self::config_file::{Problem, expand};

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
        let plan = args.plan()?;
        sections.push(Section { args, plan, show });
    }
    let is_kept = sections.iter().any(|one| one.args.output.keeps_parts());
    let runtime = crate::runtime::current_thread().map_err(|error| {
        let what = format!("the operating system provides no event loop: {error}");
        Failure::new(code::OTHER, handfast::Explanation::new("no-runtime", what))
    })?;
    let parts = Parts::default();
    // As in curl, all that have cookies share them.
    let jar = CookieJar::new();
    let unsaved: Cell<Option<&Section<'_>>> = Cell::new(None);
    let save = |code| match unsaved.take() {
        Some(section) => section.save(&jar, code),
        None => code,
    };
    let fetching = async {
        let mut last = code::SUCCESS;
        let mut heads = HeadFiles::default();
        for section in &sections {
            let opened = match section.open(&jar, &mut heads) {
                Ok(opened) => opened,
                Err(failure) => {
                    section.print(&failure);
                    return failure.code;
                }
            };
            unsaved.set(Some(section));
            match section.fetch(&opened, &parts, last).await {
                ControlFlow::Continue(code) => last = save(code),
                ControlFlow::Break(code) => return save(code),
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
    // After a signal.
    Ok(ExitCode::from(save(code)))
}

/// The files with the parts that have arrived so far, of all transfers that go on.
#[derive(Default)]
struct Parts(RefCell<Vec<Part>>);

type Part = Rc<RefCell<Option<Kept>>>;

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
        let mut kept: Vec<_> = parts.iter().filter_map(|part| part.take()).collect();
        kept.sort_by(|one, other| one.path.cmp(&other.path));
        if kept.is_empty() {
            interrupt::tell(None);
        }
        for part in &kept {
            interrupt::tell(Some(part));
        }
    }
}

/// URLs that have their options in common.
struct Section<'a> {
    args: &'a Args,
    plan: Plan<'a>,
    show: Show,
}

/// What a section has once its turn has come: what a former one has written is there.
struct Opened {
    heads: Option<HeadFile>,
    client: Client,
}

/// A transfer that is over.
struct Ended {
    number: usize,
    recorder: Recorder,
    result: Result<Done, Failure>,
    /// Its messages wait until it is its turn.
    is_in_order: bool,
}

impl Section<'_> {
    fn open(&self, jar: &CookieJar, heads: &mut HeadFiles) -> Result<Opened, Failure> {
        let args = self.args;
        let heads = args.output.heads().map(|path| heads.open(path));
        let heads = heads.transpose()?;
        let first = self.plan.first_url().unwrap_or_default();
        let has_jar = args.cookies.read_into(jar, &first, args.is_silent())?;
        let client = context::client(args, has_jar.then_some(jar))?;
        Ok(Opened { heads, client })
    }

    /// Writes the file of its cookies. Gives the exit code, which was this one up to now.
    fn save(&self, jar: &CookieJar, code: u8) -> u8 {
        match self.args.cookies.save(jar) {
            Ok(()) => code,
            Err(failure) => {
                self.print(&failure);
                match code {
                    code::SUCCESS => failure.code,
                    code => code,
                }
            }
        }
    }

    fn print(&self, failure: &Failure) {
        if !self.args.is_silent() {
            output::failure(failure);
        }
    }

    /// Fetches all of it. Gives the exit code up to now, or the one to end with at once.
    async fn fetch(&self, opened: &Opened, parts: &Parts, mut last: u8) -> ControlFlow<u8, u8> {
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
                running.push(self.fetch_one(opened, number, planned, turns.as_ref(), parts));
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
        opened.client.close_within(limit).await;
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
        opened: &Opened,
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
                let heads_are_shown = opened.heads.as_ref().is_some_and(HeadFile::is_stdout);
                is_in_order = matches!(job.target, Target::Stdout)
                    || self.show.has_format()
                    || heads_are_shown;
                if let Some(turns) = turns.filter(|_| !is_in_order) {
                    // It writes nothing there: the others do not wait for it.
                    let _ = turns.end(number, |_| {});
                }
                let part = parts.add();
                let telling = Telling {
                    show: &self.show,
                    recorder: &recorder,
                    heads: opened.heads.as_ref(),
                    meter: &Meter::default(),
                    turn: turns.map(|turns| (turns, number)),
                };
                // It takes 24 KB, and would be copied each time that the future around it is moved.
                let fetching = Box::pin(fetch_with_retries(
                    self.args,
                    &opened.client,
                    &job,
                    &part,
                    telling,
                ));
                let fetched = fetching.await;
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
