//! One thread of the generator: waits for its sockets, hands out requests, keeps the books.

use std::collections::VecDeque;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::alarm::Alarm;
use super::desk::{Desk, Shared};
use super::measure::Sample;
use super::plan::Pacing;
use super::schedule::{Nanos, Work, share};
use super::slot::{Slot, nanos};

/// How often limits are looked at, and whether the test was stopped.
const TICK: Duration = Duration::from_millis(50);

/// How often a thread that is ready looks whether the others are.
const WAIT: Duration = Duration::from_millis(1);

const SECOND: Nanos = 1_000_000_000;

/// Sockets that are handled between two waits: more of them would only make their times older.
const EVENTS_MAX: usize = 256;

const ALARM: Token = Token(usize::MAX - 1);

/// What threads and coordinator tell each other besides samples.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Threads whose connections are there.
    pub(super) ready: AtomicUsize,
    /// When the clock of the test starts.
    pub(super) start: OnceLock<Nanos>,
    pub(super) stop: AtomicBool,
}

impl Gate {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a thread saw in one second, or in what was left of it at the end.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) thread: usize,
    pub(super) second: u64,
    pub(super) length: Duration,
    pub(super) sample: Box<Sample>,
    pub(super) last: bool,
}

pub(super) fn run(
    shared: &Shared,
    gate: &Gate,
    thread: usize,
    progress: &Sender<Progress>,
) -> io::Result<()> {
    Worker::new(shared, gate, thread)?.run(progress)
}

struct Worker<'s> {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    desk: Desk<'s>,
    slots: Vec<Slot>,
    /// Slots with room, in the order in which they became so: all connections are used in turn.
    idle: VecDeque<usize>,
    gate: &'s Gate,
    thread: usize,
    start: Nanos,
    cpu: Option<Duration>,
}

impl<'s> Worker<'s> {
    fn new(shared: &'s Shared, gate: &'s Gate, thread: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let alarm = Alarm::new(&registry, ALARM)?;
        let plan = &shared.plan;
        let count = share(plan.connections as u64, thread, plan.threads);
        let slots: Vec<Slot> = (0..usize::try_from(count).unwrap_or(1))
            .map(|index| Slot::new(Token(index)))
            .collect();
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            alarm,
            desk: Desk::new(shared, registry),
            idle: VecDeque::with_capacity(slots.len()),
            slots,
            gate,
            thread,
            start: 0,
            cpu: None,
        })
    }

    fn run(mut self, progress: &Sender<Progress>) -> io::Result<()> {
        self.warm_up()?;
        self.start_clock();
        let plan = &self.desk.shared.plan;
        let hard_end = plan.duration.map_or(Nanos::MAX, |duration| {
            self.start
                .saturating_add(nanos(duration))
                .saturating_add(nanos(plan.grace))
        });
        let mut next_tick = 0;
        let mut next_second = self.start + SECOND;
        loop {
            self.desk.look_at_the_clock();
            let now = self.desk.now;
            if now >= next_tick {
                self.tick();
                next_tick = now + nanos(TICK);
                if self.gate.stopped() || now >= hard_end || self.is_hopeless() {
                    break;
                }
            }
            if now >= next_second {
                let second = (now - self.start) / SECOND;
                self.tell(progress, second - 1, Duration::from_secs(1), false);
                next_second = self.start + (second + 1) * SECOND;
            }
            self.hand_out();
            if self.desk.is_over() && self.is_done() {
                break;
            }
            let limit = next_tick.min(next_second).saturating_sub(now);
            self.wait(Duration::from_nanos(limit))?;
        }
        self.finish(progress);
        Ok(())
    }

    /// Opens the connections that are to be kept, before the clock starts.
    fn warm_up(&mut self) -> io::Result<()> {
        self.desk.look_at_the_clock();
        if !self.desk.one_shot() {
            for slot in &mut self.slots {
                slot.open(&mut self.desk);
            }
        }
        let mut counted = false;
        let mut next_tick = nanos(TICK);
        while self.gate.start.get().is_none() && !self.gate.stopped() {
            let settled = self.desk.one_shot() || self.slots.iter().all(Slot::is_settled);
            if settled && !counted {
                counted = true;
                self.gate.ready.fetch_add(1, Ordering::Relaxed);
            }
            self.wait(WAIT)?;
            self.desk.look_at_the_clock();
            if self.desk.now >= next_tick {
                next_tick = self.desk.now + nanos(TICK);
                for slot in &mut self.slots {
                    // Limits hold here too; connections are opened again once the clock runs.
                    slot.tick(&mut self.desk);
                }
            }
        }
        Ok(())
    }

    fn start_clock(&mut self) {
        self.desk.look_at_the_clock();
        self.start = self.gate.start.get().copied().unwrap_or(self.desk.now);
        let plan = &self.desk.shared.plan;
        let limit = plan
            .requests
            .map(|requests| share(requests, self.thread, plan.threads));
        let end = plan.duration.map(nanos);
        let work = match plan.pacing {
            Pacing::Closed => Work::closed(limit, end),
            Pacing::Open { per_second } => {
                Work::open(per_second, (self.thread, plan.threads), limit, end)
            }
        };
        self.desk.work = work.starting_at(self.start);
        self.desk.started = true;
        self.cpu = thread_cpu();
        for index in 0..self.slots.len() {
            self.list(index);
        }
    }

    /// Waits for sockets and moves those that have something.
    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        let mut limit = limit;
        let now = self.desk.now;
        if self.idle.is_empty() {
            // What becomes due can only wait for a connection to become free.
        } else if self.desk.is_due() {
            limit = Duration::ZERO;
        } else if let Some(wait) = self
            .desk
            .work
            .next_due()
            .and_then(|due| due.checked_sub(now))
        {
            let wait = Duration::from_nanos(wait);
            if wait < limit {
                limit = self.alarm.set(wait, limit);
            }
        }
        match self.poll.poll(&mut self.events, Some(limit)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let index = event.token().0;
            let Some(slot) = self.slots.get_mut(index) else {
                continue;
            };
            let insist = event.is_read_closed() || event.is_error();
            slot.event(insist, &mut self.desk);
            if self.desk.started {
                serve(slot, &mut self.desk);
                if !slot.listed && slot.has_room(&self.desk) {
                    slot.listed = true;
                    self.idle.push_back(index);
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index)
            && !slot.listed
            && slot.has_room(&self.desk)
        {
            slot.listed = true;
            self.idle.push_back(index);
        }
    }

    /// Gives requests that are due to slots with room.
    fn hand_out(&mut self) {
        // Every turn takes a request or a slot off its list.
        while self.desk.is_due()
            && let Some(index) = self.idle.pop_front()
        {
            let Some(slot) = self.slots.get_mut(index) else {
                continue;
            };
            slot.listed = false;
            if slot.has_room(&self.desk)
                && let Some(due) = self.desk.take_work()
            {
                slot.give(due, &mut self.desk);
                // In the closed loop all the room is for now; in the open one, others have a turn.
                if self.desk.shared.plan.pacing == Pacing::Closed {
                    fill(slot, &mut self.desk);
                }
                slot.settle(&mut self.desk);
            }
            self.list(index);
        }
    }

    fn tick(&mut self) {
        for index in 0..self.slots.len() {
            if let Some(slot) = self.slots.get_mut(index) {
                slot.tick(&mut self.desk);
            }
            self.list(index);
        }
    }

    /// Nothing was answered, and every connection has failed three times: it is not going to get
    /// better.
    fn is_hopeless(&mut self) -> bool {
        let enough = 3 * self.slots.len() as u64;
        let hopeless = self.desk.answered == 0 && self.desk.failed >= enough.max(10);
        self.desk.sample.gave_up |= hopeless;
        hopeless
    }

    fn is_done(&self) -> bool {
        self.desk.work.waiting(self.desk.now) == 0 && !self.slots.iter().any(Slot::is_busy)
    }

    fn tell(&mut self, progress: &Sender<Progress>, second: u64, length: Duration, last: bool) {
        let mut sample = std::mem::take(&mut self.desk.sample);
        sample.waiting = self.desk.work.waiting(self.desk.now);
        let cpu = thread_cpu();
        sample.cpu = cpu
            .zip(self.cpu)
            .map(|(now, before)| now.saturating_sub(before));
        self.cpu = cpu;
        // A coordinator that is gone wants to know nothing more.
        let _ = progress.send(Progress {
            thread: self.thread,
            second,
            length,
            sample: Box::new(sample),
            last,
        });
    }

    fn finish(&mut self, progress: &Sender<Progress>) {
        self.desk.look_at_the_clock();
        let now = self.desk.now;
        self.desk.sample.requests.unsent = self.desk.work.waiting(now);
        self.desk.sample.requests.unfinished += self.desk.refused();
        for slot in &mut self.slots {
            slot.leave(&mut self.desk);
        }
        let since = now.saturating_sub(self.start);
        let length = Duration::from_nanos(since % SECOND);
        self.tell(progress, since / SECOND, length, true);
    }
}

/// Gives a slot requests that are due, as many as it takes, and sends them.
fn serve(slot: &mut Slot, desk: &mut Desk<'_>) {
    if fill(slot, desk) {
        slot.settle(desk);
    }
}

fn fill(slot: &mut Slot, desk: &mut Desk<'_>) -> bool {
    let mut given = false;
    while slot.has_room(desk)
        && let Some(due) = desk.take_work()
    {
        slot.give(due, desk);
        given = true;
    }
    given
}

/// Processor time that this thread has used.
fn thread_cpu() -> Option<Duration> {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let secs = u64::try_from(time.tv_sec).ok()?;
        let nanos = u32::try_from(time.tv_nsec).ok()?;
        Some(Duration::new(secs, nanos))
    }
    #[cfg(not(unix))]
    {
        None
    }
}
