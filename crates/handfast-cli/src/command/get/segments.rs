//! `--segments`: a large file in several ranges at once, and what `-v` says of them.

use handfast_https::client::{
    Client, Download, Error, Response, SegmentEvent, Segmented, Segments, Whole,
};

use super::arguments::{Args, Job};
use super::outcome;
use super::telling::Telling;
use crate::output;

/// What came of a file that was to be fetched in ranges.
pub(super) enum Ranges {
    /// All of it is there.
    Whole(Whole),
    /// Its response is to be read as any other.
    InOrder(Box<Response>),
    /// What lacks is to be requested again, as one.
    InOne,
}

/// Reads the rest of the file of this response in ranges, where that is possible.
pub(super) async fn fetch(
    args: &Args,
    client: &Client,
    job: &Job,
    telling: Telling<'_>,
    segments: Segments,
    response: Response,
    download: &mut Download,
) -> Result<Ranges, Error> {
    let Telling {
        show,
        recorder,
        meter,
        ..
    } = telling;
    let is_verbose = args.is_verbose();
    let tell = |text: String| {
        if is_verbose {
            output::note(format!("* segments: {text}"));
        }
    };
    let received = show.receiver(meter);
    let request = show.observe_range(job.request.clone(), recorder);
    let fetching = client.fetch_segments(
        &request,
        response,
        download,
        segments,
        |event| match event {
            SegmentEvent::Divided { count, bytes } => {
                meter.responding(Some(bytes));
                tell(format!("{bytes} bytes are fetched in {count} ranges"));
            }
            SegmentEvent::Received { piece } => received(piece),
            SegmentEvent::Refused { range, why } => {
                tell(format!("bytes {}-{}: {why}", range.start, range.end - 1));
            }
            SegmentEvent::OneTransfer { why } => {
                tell(format!("the file is fetched in one transfer: {why}"));
            }
            _ => {}
        },
    );
    match fetching.await {
        Ok(Segmented::Whole {
            whole,
            count,
            finished,
            ..
        }) => {
            recorder.transfer().came_in_ranges(count, &whole);
            if !args.is_silent() {
                finished.iter().for_each(outcome::remark);
            }
            tell(format!("all {count} are complete, {} bytes", whole.bytes()));
            Ok(Ranges::Whole(whole))
        }
        Ok(Segmented::NotDivided(response, why)) => {
            tell(format!("the file is fetched in one transfer: {why}"));
            Ok(Ranges::InOrder(response))
        }
        Ok(Segmented::AskAgain(why)) => {
            tell(format!("the rest is requested in one transfer: {why}"));
            Ok(Ranges::InOne)
        }
        Ok(_) => Ok(Ranges::InOne),
        Err(error) => {
            recorder.transfer().broken(&error);
            Err(error)
        }
    }
}
