//! A large file in several ranges at once, each over a connection of its own.
//!
//! The response to the request for all of it is the first of them: it is read up to where the next one begins. So nothing is asked
//! beforehand, and where ranges cannot be had it is read to its end, as if nobody had asked for more. Each other range is
//! requested on the condition that the file is still the same (`If-Range`), and its head is compared with the first: what does
//! not agree is not believed, nor are the others then.

use std::future::{Future, poll_fn};
use std::ops::{ControlFlow, Range};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::header::{ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderValue, Method, StatusCode};
use tokio::task::{JoinHandle, spawn_blocking};

use self::board::{Board, Goal};
pub use self::event::{NotSegmented, SegmentEvent};
use super::completeness::{Framing, Verdict, Whole, judge};
use super::download::Download;
use super::error::{Error, Truncation};
use super::finished::Finished;
use super::pace::RateLimits;
use super::patience::Patience;
use super::request::Request;
use super::response::Response;
use super::send::Client;
use super::spans::pieces;

mod board;
mod event;

/// The most ranges that are fetched at once. More take from others what servers and networks share out by connections.
pub const SEGMENTS_MAX: usize = 16;

/// The smallest range: below, another connection costs more time than it saves.
const BYTES_MIN: u64 = 1024 * 1024;

/// How often it is kept on the disk which ranges are there. So much is fetched again after the process was killed.
const SAVED_EVERY: Duration = Duration::from_millis(500);

/// Into how many ranges a large file is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segments {
    count: usize,
    bytes_min: u64,
}

impl Segments {
    /// So many at most: from 1, which is a plain transfer, to [`SEGMENTS_MAX`].
    pub fn new(count: usize) -> Self {
        Self {
            count: count.clamp(1, SEGMENTS_MAX),
            bytes_min: BYTES_MIN,
        }
    }

    /// None is smaller than this; a file of less than twice the size is not divided. Default: 1 MiB.
    #[must_use]
    pub fn with_bytes_min(mut self, bytes: u64) -> Self {
        self.bytes_min = bytes.max(1);
        self
    }
}

/// What came of a file that was to be fetched in ranges.
#[derive(Debug)]
#[non_exhaustive]
pub enum Segmented {
    /// All of it is there: the proof, and how many ranges it came in.
    #[non_exhaustive]
    Whole {
        /// The proof. Its bytes are those that came now.
        whole: Whole,
        /// How many ranges there were.
        count: usize,
        /// How the exchanges ended that were read to their end.
        finished: Vec<Finished>,
    },
    /// It is not divided, and nothing of the response was read.
    NotDivided(Box<Response>, NotSegmented),
    /// The rest cannot be had in ranges: it has to be requested again ([`Download::resume`]), as one.
    AskAgain(NotSegmented),
}

/// What the exchanges of one file have in common.
struct Common {
    request: Request,
    validator: HeaderValue,
    total: u64,
    patience: Patience,
    rates: RateLimits,
}

type Work<'w> = Pin<Box<dyn Future<Output = Option<Finished>> + Send + 'w>>;

impl Client {
    /// Reads the rest of a file into a download, in several ranges at once. `request` is what the others are made of, and
    /// `response` the response to it, or to [`Download::ask`]'s, which [`Download::begin`] has judged, and of which nothing has
    /// been read. If the file changes meanwhile, or the server does not send ranges as it should, one of the transfers
    /// goes on alone.
    ///
    /// Each range has a connection of its own, no more than [`PoolLimits`](super::PoolLimits) allows; limits on rate and time hold
    /// for all of them together. When this is dropped, or fails, the download keeps what has come, and
    /// [`Download::resume`] goes on with what lacks, in ranges or not.
    ///
    /// # Errors
    /// As those of a [`Response`], of the first range that failed, after the others have ended: [`Error::Truncated`] says how
    /// much of all has come. [`Error::File`], at once.
    pub async fn fetch_segments(
        &self,
        request: &Request,
        response: Response,
        download: &mut Download,
        segments: Segments,
        mut tell: impl FnMut(SegmentEvent<'_>) + Send,
    ) -> Result<Segmented, Error> {
        let limits = &self.0.settings.pool;
        let count = segments
            .count
            .min(limits.connections_max)
            .min(limits.per_origin_max);
        let (total, validator) = match divisible(request, &response, download, count) {
            Ok(known) => known,
            Err(why) => return Ok(Segmented::NotDivided(Box::new(response), why)),
        };
        let gaps = download.gaps(total);
        let lacking: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
        // What is there behind the first gap is not fetched again.
        let from = gaps.first().map_or(total, |gap| gap.start);
        let has_more = lacking < total.saturating_sub(from);
        let pieces = pieces(gaps, count, segments.bytes_min);
        if pieces.is_empty() || pieces.len() < 2 && !has_more {
            let why = NotSegmented::Small(lacking);
            return Ok(Segmented::NotDivided(Box::new(response), why));
        }
        download.scatter(total)?;
        let count = pieces.len();
        tell(SegmentEvent::Divided {
            count,
            bytes: lacking,
        });
        let (rates, patience) = response.limits();
        let common = Common {
            request: request.clone(),
            validator,
            total,
            patience,
            rates,
        };
        let board = Board::new(download, pieces, total, &mut tell);
        let workers = segments.count.min(count);
        let mut works: Vec<Option<Work<'_>>> = vec![Some(Box::pin(first(&board, response)))];
        for worker in 1..workers {
            let work = others(&board, worker, self.sibling(), &common);
            works.push(Some(Box::pin(work)));
        }
        let finished = run(&board, works).await;
        let outcome = board.outcome();
        if let Some(error) = outcome.fatal {
            return Err(error);
        }
        let received = outcome.received;
        match judge(
            Framing::Length(lacking),
            received,
            received == lacking,
            None,
        ) {
            Verdict::Whole(whole) if outcome.is_complete => Ok(Segmented::Whole {
                whole,
                count,
                finished,
            }),
            _ => match (outcome.distrusted, outcome.lost, outcome.refused) {
                // It was read to its end alone, and did not get there.
                (Some(_), Some(lost), _) if outcome.is_first_lost => {
                    Err(of_all(lost, lacking, received))
                }
                (Some(why), ..) => Ok(Segmented::AskAgain(why)),
                (None, Some(lost), _) => Err(of_all(lost, lacking, received)),
                (None, None, Some(Ok(why))) => Ok(Segmented::AskAgain(why)),
                (None, None, Some(Err(error))) => match patience.at_most(Duration::MAX).is_zero() {
                    true => Err(error),
                    false => Ok(Segmented::AskAgain(NotSegmented::Failed(error.to_string()))),
                },
                (None, None, None) => Ok(Segmented::AskAgain(NotSegmented::Disagrees(
                    "less came than was requested".to_owned(),
                ))),
            },
        }
    }
}

/// The size and the validator of a file that can be divided.
fn divisible(
    request: &Request,
    response: &Response,
    download: &Download,
    count: usize,
) -> Result<(u64, HeaderValue), NotSegmented> {
    if count < 2 {
        return Err(NotSegmented::NotWanted);
    }
    let has_body = request.upload().is_some() || !request.body().is_empty();
    if *request.method() != Method::GET || has_body || request.headers().contains_key(RANGE) {
        return Err(NotSegmented::Request);
    }
    if download.part().is_none() {
        return Err(NotSegmented::Target);
    }
    if response.is_decoded() || response.headers().contains_key(CONTENT_ENCODING) {
        return Err(NotSegmented::Coded);
    }
    let total = match (response.status(), response.content_range()) {
        (StatusCode::OK, _) => {
            let sends_ranges = response.headers().get_all(ACCEPT_RANGES).iter();
            let sends_ranges = sends_ranges
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|unit| unit.trim().eq_ignore_ascii_case("bytes"));
            let total = response.framing().expected();
            let total = total.ok_or(NotSegmented::NoLength)?;
            if !sends_ranges {
                return Err(NotSegmented::NoRanges);
            }
            total
        }
        (StatusCode::PARTIAL_CONTENT, Some(range)) => range.total.ok_or(NotSegmented::NoLength)?,
        (status, _) => return Err(NotSegmented::Status(status)),
    };
    let validator = download.validator().ok_or(NotSegmented::NoValidator)?;
    Ok((total, validator))
}

/// Reads the response to the request for everything, up to where another begins.
async fn first(board: &Board<'_>, mut response: Response) -> Option<Finished> {
    let read = response
        .lend(|piece| match board.first_received(piece) {
            Goal::Further => ControlFlow::Continue(()),
            Goal::Reached => ControlFlow::Break(()),
        })
        .await;
    match read {
        // Nothing more of it is wanted: its connection is closed.
        Ok(Some(())) => None,
        Ok(None) => match response.finish().await {
            Ok(finished) => {
                board.first_ended(None);
                Some(finished)
            }
            Err(error) => {
                board.first_ended(Some(error));
                None
            }
        },
        Err(error) => {
            board.first_ended(Some(error));
            None
        }
    }
}

/// Fetches ranges, one after the other, until there are none left or one is refused.
async fn others(
    board: &Board<'_>,
    worker: usize,
    client: Client,
    common: &Common,
) -> Option<Finished> {
    let mut last = None;
    while let Some((number, range)) = board.take(worker) {
        let mut request = common.request.clone();
        let headers = request.headers_mut();
        if let Ok(value) = HeaderValue::try_from(format!("bytes={}-{}", range.start, range.end - 1))
        {
            headers.insert(RANGE, value);
        }
        headers.insert(IF_RANGE, common.validator.clone());
        if headers.contains_key(ACCEPT_ENCODING) {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let mut response = match client.send_within(request, common.patience).await {
            Ok(response) => response,
            Err(error) => {
                board.refused(number, Err(error));
                break;
            }
        };
        if response.status().as_u16() >= 400 {
            let status = response.status();
            response.discard().await;
            board.refused(number, Ok(NotSegmented::Refused(status)));
            break;
        }
        if let Err(problem) = is_range(&response, &range, common.total) {
            board.distrust(NotSegmented::Disagrees(problem));
            break;
        }
        if !board.accept(number, &response) {
            break;
        }
        response.share_rates(common.rates.clone());
        let read = response
            .lend(|piece| match board.received(number, piece) {
                Goal::Further => ControlFlow::Continue(()),
                Goal::Reached => ControlFlow::Break(()),
            })
            .await;
        let finished = match read {
            Ok(None) => response.finish().await,
            // More than was requested, or nothing can be written.
            Ok(Some(())) => break,
            Err(error) => Err(error),
        };
        match finished {
            Ok(finished) => {
                board.ended(number, None);
                last = Some(finished);
            }
            Err(error) => {
                board.ended(number, Some(error));
                break;
            }
        }
    }
    let limit = common.patience.at_most(Duration::MAX);
    client.close_within(limit).await;
    last
}

/// Is a response the range that was requested? Says what is wrong, if it is not.
fn is_range(response: &Response, range: &Range<u64>, total: u64) -> Result<(), String> {
    let status = response.status();
    if status != StatusCode::PARTIAL_CONTENT {
        return Err(format!("its answer is {status}"));
    }
    let Some(sent) = response.content_range() else {
        return Err("it does not say which bytes it sends".to_owned());
    };
    if sent.total != Some(total) {
        return Err("the size of the file is another one".to_owned());
    }
    if sent.bytes != Some((range.start, range.end - 1)) {
        return Err("it sends other bytes than were requested".to_owned());
    }
    let length = response.framing().expected();
    if length.is_some_and(|length| length != range.end - range.start) {
        return Err("its length is not that of the range".to_owned());
    }
    Ok(())
}

/// What one range lacks is lacking in all of it.
fn of_all(lost: Error, expected: u64, received: u64) -> Error {
    let Error::Truncated(truncation) = lost else {
        return lost;
    };
    let problem = match truncation.problem {
        None => "one of the ranges ended early".to_owned(),
        Some(problem) => format!("one of the ranges ended early: {problem}"),
    };
    Error::Truncated(Box::new(Truncation {
        framing: Some(Framing::Length(expected)),
        expected: Some(expected),
        received,
        problem: Some(problem),
        ..*truncation
    }))
}

/// Lets all of them go on, and keeps meanwhile what has come.
async fn run(board: &Board<'_>, mut works: Vec<Option<Work<'_>>>) -> Vec<Finished> {
    let mut finished = Vec::new();
    let mut saved_at = Instant::now();
    let mut saving: Option<JoinHandle<()>> = None;
    poll_fn(|cx: &mut Context<'_>| {
        let mut goes_on = false;
        for (worker, slot) in works.iter_mut().enumerate() {
            let Some(work) = slot else { continue };
            match work.as_mut().poll(cx) {
                Poll::Pending => goes_on = true,
                Poll::Ready(end) => {
                    *slot = None;
                    finished.extend(end);
                    board.gone(worker);
                }
            }
        }
        for (worker, slot) in works.iter_mut().enumerate() {
            if slot.is_some() && board.is_cancelled(worker) {
                *slot = None;
                board.gone(worker);
                cx.waker().wake_by_ref();
            }
        }
        if let Some(task) = &mut saving
            && Pin::new(task).poll(cx).is_ready()
        {
            saving = None;
            saved_at = Instant::now();
        }
        if saving.is_none()
            && saved_at.elapsed() >= SAVED_EVERY
            && let Some(state) = board.saving()
        {
            // A state that cannot be kept says less than there is, and is no reason to fail.
            let mut task = spawn_blocking(move || drop(state.save()));
            // It wakes this when it is done.
            if Pin::new(&mut task).poll(cx).is_pending() {
                saving = Some(task);
            }
        }
        match goes_on || works.iter().any(Option::is_some) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    })
    .await;
    if let Some(saving) = saving {
        let _ = saving.await;
    }
    finished
}
