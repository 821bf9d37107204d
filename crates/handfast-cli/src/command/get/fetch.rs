//! One URL: requested, tried again where that was asked for, and its response written to where it goes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use handfast_https::client::{Begun, Client, Error, Response, Segments};
use http::header::{CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, Method, StatusCode};

use super::arguments::{Args, Job};
use super::destination::Target;
use super::heads::{Head, Heads};
use super::integrity::Digests;
use super::offset::Offset;
use super::outcome;
use super::page::{Binary, Page};
use super::ranges::Continuation;
use super::retry::Retries;
use super::segments::{self, Ranges};
use super::sink::{self, Kept, Sink, Written};
use super::telling::Telling;
use super::watch;
use crate::failure::{Failure, code};
use crate::output;

/// What came of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    Whole,
    /// The reader of stdout has closed it.
    ReaderGone,
}

/// What came of an attempt.
enum Attempt {
    Done(Done),
    /// The server answered with this status, and is asked again after a while.
    Again(StatusCode, Duration),
    /// The rest cannot be had in ranges, and is requested as one.
    InOne,
}

pub(super) async fn fetch_with_retries(
    args: &Args,
    client: &Client,
    job: &Job,
    part: &RefCell<Option<Kept>>,
    telling: Telling<'_>,
) -> Result<Done, Failure> {
    let mut retries = args.retry.begin();
    let mut offset = args.ranges.offset();
    let mut segments = args.ranges.segments();
    let mut began = Instant::now();
    loop {
        let meter = telling.show.meter(job.shown_name().as_deref());
        let telling = Telling {
            meter: &meter,
            ..telling
        };
        let way = Way {
            offset,
            segments,
            began,
        };
        let fetched = fetch(args, client, job, part, telling, way, &mut retries).await;
        meter.over(matches!(fetched, Ok(Attempt::Done(Done::Whole))));
        // What came goes on where it stopped, unless it was no more than a part that was requested.
        let keeps_part = part.borrow().is_some() && args.ranges.wants_whole(job.request.method());
        let (why, wait) = match fetched {
            Ok(Attempt::Done(done)) => return Ok(done),
            Ok(Attempt::InOne) => {
                segments = None;
                offset = Some(Offset::WhereItStopped);
                telling.recorder.restart();
                continue;
            }
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
        began = Instant::now();
        telling.recorder.restart();
        if keeps_part {
            offset = Some(Offset::WhereItStopped);
        }
    }
}

/// Where an attempt begins, in how many ranges it fetches a file, and since when its time counts.
#[derive(Clone, Copy)]
struct Way {
    offset: Option<Offset>,
    segments: Option<Segments>,
    began: Instant,
}

async fn fetch(
    args: &Args,
    client: &Client,
    job: &Job,
    part: &RefCell<Option<Kept>>,
    telling: Telling<'_>,
    way: Way,
    retries: &mut Retries<'_>,
) -> Result<Attempt, Failure> {
    let deadline = args
        .total_max()
        .and_then(|limit| Some((way.began.checked_add(limit)?, limit)));
    let Telling {
        show,
        recorder,
        heads: head_file,
        meter,
        turn,
    } = telling;
    let explained = |error: Error| {
        recorder.transfer().broken(&error);
        let is_status = args.output.fails_on_error() && outcome::is_refused_by_proxy(&error);
        let mut failure = outcome::explained(error);
        if is_status {
            failure.code = code::HTTP_STATUS;
        }
        failure
    };
    part.replace(None);
    let method = job.request.method();
    // -I shows no body, whatever method -X names.
    let hides_body = args.output.asks_for_head() && *method != Method::HEAD;
    let shows_heads = args.output.includes_head() || hides_body || *method == Method::HEAD;
    let heads = Heads::default();
    let mut continuation = Continuation::open(&job.target, way.offset, args.is_silent())?;
    let (mut response, shown) = loop {
        let mut request = continuation.ask(show.observe(job.request.clone(), recorder, meter));
        if shows_heads || head_file.is_some() {
            request = heads.note(request);
        }
        let is_conditional = [IF_NONE_MATCH, IF_MODIFIED_SINCE]
            .iter()
            .any(|name| request.headers().contains_key(name));
        let sent = client.send(request.begun_at(way.began)).await;
        let heads = heads.take();
        if let Some(file) = head_file {
            match turn.filter(|_| file.is_stdout()) {
                Some((turns, number)) => file.write_through(&heads, &mut turns.writer(number))?,
                None => file.write(&heads)?,
            }
        }
        let mut response = sent.map_err(explained)?;
        recorder.transfer().responding(&response);
        args.etag.save(&response)?;
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
        if is_old && !is_unmet && !is_conditional {
            response.discard().await;
            let problem = "304 Not Modified, and the request had no condition".to_owned();
            return Err(explained(Error::Malformed { problem }));
        }
        if is_old && let Target::File(place) = &job.target {
            // What is there already stays as it is.
            response.discard().await;
            args.integrity.check_file(place.path().as_deref())?;
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
        let applied = args.receiving.apply(&mut response).and_then(|()| {
            // What continues a download may ask for the whole instead.
            match continuation.is_asking() {
                true => Ok(()),
                false => response.check_range(),
            }
        });
        match applied
            .map_err(explained)
            .and_then(|()| continuation.begin(&response))
        {
            Ok(Begun::AskAgain) => response.discard().await,
            Ok(Begun::Complete) => {
                let finished = response.finish().await.map_err(explained)?;
                if let Some(download) = continuation.into_download() {
                    let mut digests = args.integrity.given();
                    digests.update_from(download.path(), download.held())?;
                    digests.check()?;
                    sink::complete(download, finished.whole)
                        .await
                        .map_err(explained)?;
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
    part.replace(sink.part().map(|path| Kept {
        path,
        goes_on: args.may_continue() && sink.is_resumable(),
    }));
    recorder.transfer().file = sink.path();
    let mut digests = match hides_body {
        true => args.integrity.digests(&Method::HEAD, &response, false),
        false => args.integrity.digests(method, &response, held > 0),
    };
    let goes_on = args.may_continue();
    let keep =
        |sink: Sink, failure| Err(sink.keep(failure, args.output.removes_on_error(), goes_on));
    if let Some(segments) = way.segments
        && let Some(download) = sink.download()
    {
        match segments::fetch(args, client, job, telling, segments, response, download).await {
            Ok(Ranges::InOrder(given)) => response = *given,
            Ok(Ranges::InOne) => return Ok(Attempt::InOne),
            Ok(Ranges::Whole(whole)) => {
                if let Some(path) = sink.path_of_held() {
                    digests.update_from(path, u64::MAX)?;
                }
                if let Err(failure) = digests.check() {
                    return Err(sink.reject(failure, args.output.removes_on_error()));
                }
                let completed = sink.complete(whole).await;
                recorder.transfer().file = completed.map_err(explained)?;
                part.replace(None);
                return match refused {
                    Some(error) => Err(explained(error)),
                    None => Ok(Attempt::Done(Done::Whole)),
                };
            }
            Err(error) => return keep(sink, explained(error)),
        }
    }
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
        Ok(Written::All) if hides_body && matches!(sink, Sink::Stdout(_)) => {
            response.discard().await;
            return match refused {
                Some(error) => Err(explained(error)),
                None => Ok(Attempt::Done(Done::Whole)),
            };
        }
        Ok(Written::All) if hides_body => Ok(Written::All),
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
    let completed = sink.complete(finished.whole).await;
    recorder.transfer().file = completed.map_err(explained)?;
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
    let shared = RefCell::new(&mut *sink);
    let stopped = {
        let mut lending = pin!(response.lend(|piece| {
            telling.show.received(piece, telling.meter);
            digests.update(piece);
            let written = match &mut page {
                None => shared.borrow_mut().write(piece),
                Some(page) => match page.render(piece) {
                    Ok(text) => shared.borrow_mut().write(&text),
                    Err(Binary) => return ControlFlow::Break(Ok(Written::All)),
                },
            };
            match written {
                Ok(Written::All) => ControlFlow::Continue(()),
                stopped => ControlFlow::Break(stopped),
            }
        }));
        poll_fn(|cx| match lending.as_mut().poll(cx) {
            // The file has what came as long as no more does: a stall may last, and the process be killed.
            Poll::Pending => match shared.borrow_mut().flush() {
                Ok(()) => Poll::Pending,
                Err(error) => Poll::Ready(Err(error)),
            },
            done => done,
        })
        .await
    };
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
