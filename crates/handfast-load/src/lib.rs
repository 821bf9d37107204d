//! Load on an HTTPS server, honestly measured.
//!
//! A [`Plan`] says what to do, [`run`] does it, [`Measurements`] are plain data; `report` turns
//! them into text, JSON or a page. It never aims at anything but the plan's target: redirects are
//! counted, not followed.
//!
//! # How it is measured
//!
//! - In the *closed loop* every connection (or HTTP/2 stream) sends its next request when the last
//!   was answered. In the *open loop* requests are due at a fixed rate, whatever the server does,
//!   and latency counts from when a request was due: one stall of the server is seen by every
//!   request that it kept waiting, not by one a connection (no coordinated omission).
//! - A response counts as complete by its HTTP framing and the way the stream ended, as everywhere
//!   in this project: what was cut off is truncated and has no latency.
//! - Times are taken when bytes are read from the socket. A generator that is itself the bottleneck
//!   measures its own queue: [`Measurements::generator_saturated`] says so.
//!
//! # How it is built
//!
//! ```text
//!  run --+-- worker (thread) -- poll -- slots -- link: socket + Connection -- http1 | http2
//!        |        |  desk: work to be done (schedule), clock, sample of this second
//!        |<-------'  a sample each second --> Measurements --> Observer
//! ```
//!
//! No runtime and no tasks: each thread polls its own sockets and moves sans-I/O state machines.
//! HTTP is spoken here anew, and only as far as a load generator needs it: requests are encoded
//! once, responses are measured in passing, nothing is allocated for one.

mod alarm;
mod desk;
mod http1;
mod http2;
mod link;
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
use self::worker::{Gate, Told};

/// How often [`run`] looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// Told how a test goes on.
pub trait Observer {
    /// The clock starts: the connections that are kept are there.
    fn started(&mut self) {}

    /// A second of the test has passed.
    fn second(&mut self, second: &Second, so_far: &Measurements);
}

/// Nobody is told.
impl Observer for () {
    fn second(&mut self, _: &Second, _: &Measurements) {}
}

/// Ends a test early; what was measured until then is kept. Clones belong together.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// One that has not been pulled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the test within a moment.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Was it pulled?
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Does what the plan says, over connections made as `tls` says, and tells what came of it.
///
/// The plan decides on ALPN and resumption; everything else of the builder is kept. The test ends
/// when its requests are done, its time is up or `stop` is pulled, whichever comes first; and early
/// when not one request has succeeded.
///
/// # Errors
/// A context that cannot be built, a name that cannot be resolved, an operating system without the
/// means. That the server does not answer is no error: it is what was measured.
pub fn run(
    plan: &Plan,
    tls: ClientContextBuilder,
    stop: &Stop,
    observer: &mut dyn Observer,
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
        // A request is one record, made without copying it first.
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
    let (told, tales) = mpsc::channel();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shared.plan.threads)
            .map(|thread| {
                let told = told.clone();
                let (shared, gate) = (&shared, &gate);
                scope.spawn(move || worker::run(shared, gate, thread, &told))
            })
            .collect();
        drop(told);
        let mut coordinator = Coordinator {
            shared: &shared,
            gate: &gate,
            stop,
            observer,
            seconds: BTreeMap::new(),
            heard: vec![None; shared.plan.threads],
            measurements: Measurements {
                threads: shared.plan.threads,
                ..Measurements::default()
            },
        };
        coordinator.run(&tales);
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

/// Puts the threads' samples together, second by second.
struct Coordinator<'r> {
    shared: &'r Shared,
    gate: &'r Gate,
    stop: &'r Stop,
    observer: &'r mut dyn Observer,
    /// Seconds that not every thread has told of.
    seconds: BTreeMap<u64, (Duration, Sample)>,
    /// The last second that each thread told of; `u64::MAX` when it has ended.
    heard: Vec<Option<u64>>,
    measurements: Measurements,
}

impl Coordinator<'_> {
    fn run(&mut self, tales: &mpsc::Receiver<Told>) {
        self.start_clock();
        loop {
            match tales.recv_timeout(LOOK) {
                Ok(told) => self.take(told),
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

    /// Lets the clock start once every thread has its connections, or their time is up.
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
        self.observer.started();
    }

    fn take(&mut self, told: Told) {
        let Told {
            thread,
            second,
            length,
            sample,
            last,
        } = told;
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
                self.observer.second(second, &self.measurements);
            }
        }
    }
}
