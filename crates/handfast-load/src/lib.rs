//! A load tester for HTTPS servers.
//!
//! A [`Plan`] describes a test, [`run`] runs it, [`Measurements`] are plain data; `report` turns
//! them into text, JSON or a page. It sends requests only to the plan's target: redirects are
//! counted, not followed.
//!
//! # How it is measured
//!
//! - In the *closed loop* every connection (or HTTP/2 stream) sends its next request when the last
//!   was answered. In the *open loop* requests are due at a fixed rate, whatever the server does,
//!   and latency counts from when a request was due: a stall of the server affects every
//!   request that was due meanwhile, not only one for each connection (no coordinated omission).
//! - A response counts as complete by its HTTP framing and the way the stream ended, as everywhere
//!   in this project: an incomplete one is truncated and has no latency.
//! - Times are taken when bytes are read from the socket. A generator that is itself the bottleneck
//!   measures its own queue: see [`Measurements::generator_saturated`].
//!
//! # How it is built
//!
//! ```text
//!  run --+-- worker (thread) -- poll -- slots -- connection: socket + Connection -- http1 | http2
//!        |        |  desk: work to be done (schedule), clock, sample of this second
//!        |<-------'  a sample each second --> Measurements --> Monitor
//! ```
//!
//! No runtime and no tasks: each thread polls its own sockets and moves sans-I/O state machines.
//! HTTP is limited to what a load generator needs: requests are encoded
//! once, responses are measured without storing them, nothing is allocated for one.

mod alarm;
mod connection;
mod desk;
mod http1;
mod http2;
mod measure;
mod outcome;
mod plan;
pub mod report;
mod schedule;
mod slot;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use handfast::{ClientContextBuilder, ConfigurationCause, Error, LocalCause, Phase};
use handfast_dial::ConnectError;

pub use self::measure::{Agreed, Distribution, Ends, Failure, Measurements, Requests, Second};
pub use self::plan::{Handshake, InvalidTarget, Pacing, Plan, Protocol, Request, Target};

use self::desk::Shared;
use self::measure::Sample;
use self::worker::{Gate, Progress};

/// How often [`run`] checks whether it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// Receives what is measured while a test runs.
pub trait Monitor {
    /// The clock starts: the kept connections are open.
    fn started(&mut self) {}

    /// A second of the test has passed.
    fn second(&mut self, second: &Second, so_far: &Measurements);
}

/// No monitor.
impl Monitor for () {
    fn second(&mut self, _: &Second, _: &Measurements) {}
}

/// Ends a test early; the measurements so far are kept. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A new one, for a running test.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the test soon.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs the plan over connections configured by `tls`, and returns the measurements.
///
/// The plan decides on ALPN and resumption; everything else of the builder is kept. The test ends
/// when its requests are done, its time is over or `stop` is called, whichever is first; and early
/// if no request has succeeded.
///
/// # Errors
/// A context that cannot be built, a name that cannot be resolved, missing resources of the operating
/// system. A server that does not answer is not an error, but a measurement.
pub fn run(
    plan: &Plan,
    tls: ClientContextBuilder,
    stop: &Stop,
    monitor: &mut dyn Monitor,
) -> Result<Measurements, ConnectError> {
    let plan = plan.bounded();
    if let Pacing::Open { per_second } = plan.pacing
        && !(per_second.is_finite() && per_second > 0.0)
    {
        let cause = ConfigurationCause::NothingLeft {
            what: "request at this rate",
        };
        return Err(Error::new(Phase::Configure, cause).into());
    }
    let context = tls
        .alpn(plan.alpn().iter().copied())
        .resumption(plan.handshake != Handshake::Full)
        // A request is one record, and is not copied first.
        .write_buffer_size(1)
        .build()?;
    let addresses = handfast_dial::resolve(
        &plan.target.host,
        plan.target.port,
        Some(plan.request_limit),
    )?;
    let shared = Shared {
        http1: http1::encode(&plan),
        http2: http2::Encoded::new(&plan),
        plan,
        context,
        addresses,
        base: Instant::now(),
    };
    let gate = Gate::default();
    let (progress, reports) = mpsc::channel();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shared.plan.threads)
            .map(|thread| {
                let progress = progress.clone();
                let (shared, gate) = (&shared, &gate);
                scope.spawn(move || worker::run(shared, gate, thread, &progress))
            })
            .collect();
        drop(progress);
        let mut coordinator = Coordinator {
            shared: &shared,
            gate: &gate,
            stop,
            monitor,
            seconds: BTreeMap::new(),
            heard: vec![None; shared.plan.threads],
            measurements: Measurements {
                threads: shared.plan.threads,
                ..Measurements::default()
            },
        };
        coordinator.run(&reports);
        let measurements = coordinator.measurements;
        for thread in threads {
            let ended = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended.map_err(|error| {
                let what = format!("a thread of the generator ended: {error}");
                Error::new(Phase::Configure, LocalCause::Internal(what))
            })?;
        }
        Ok(measurements)
    })
}

/// Combines the threads' samples of each second.
struct Coordinator<'r> {
    shared: &'r Shared,
    gate: &'r Gate,
    stop: &'r Stop,
    monitor: &'r mut dyn Monitor,
    /// Seconds without samples of every thread yet.
    seconds: BTreeMap<u64, (Duration, Sample)>,
    /// The last second reported by each thread; `u64::MAX` once it has ended.
    heard: Vec<Option<u64>>,
    measurements: Measurements,
}

impl Coordinator<'_> {
    fn run(&mut self, reports: &mpsc::Receiver<Progress>) {
        self.start_clock();
        loop {
            match reports.recv_timeout(LOOK) {
                Ok(progress) => self.take(progress),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.stop.is_stopped() {
                self.gate.stop.store(true, Ordering::Relaxed);
            }
        }
        self.complete(u64::MAX);
        let requests = &mut self.measurements.requests;
        let over = requests.complete + requests.truncated + requests.failed + requests.unfinished;
        debug_assert_eq!(requests.started, over);
    }

    /// Starts the clock once every thread has its connections, or their time limit has passed.
    fn start_clock(&mut self) {
        let limit = self.shared.plan.request_limit + LOOK;
        while self.gate.ready.load(Ordering::Relaxed) < self.shared.plan.threads
            && self.shared.base.elapsed() < limit
            && !self.stop.is_stopped()
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.stop.is_stopped() {
            self.gate.stop.store(true, Ordering::Relaxed);
        }
        let now = u64::try_from(self.shared.base.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let _ = self.gate.start.set(now);
        self.monitor.started();
    }

    fn take(&mut self, progress: Progress) {
        let Progress {
            thread,
            second,
            length,
            sample,
            last,
        } = progress;
        let (longest, sum) = self.seconds.entry(second).or_default();
        *longest = length.max(*longest);
        sum.merge(*sample);
        if let Some(heard) = self.heard.get_mut(thread) {
            *heard = Some(if last { u64::MAX } else { second + 1 });
        }
        let known = self.heard.iter().map(|heard| heard.unwrap_or(0)).min();
        self.complete(known.unwrap_or(0));
    }

    /// Every second before this one is complete.
    fn complete(&mut self, before: u64) {
        while let Some(entry) = self.seconds.first_entry()
            && *entry.key() < before
        {
            let (second, (length, sample)) = entry.remove_entry();
            if self.measurements.absorb(second, length, sample)
                && let Some(second) = self.measurements.seconds.last()
            {
                self.monitor.second(second, &self.measurements);
            }
        }
    }
}
