//! TCP to the first of some addresses that answers, without blocking.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use handfast::Phase;
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};

use crate::error::{Cause, Error};
use crate::race::{Race, Step};
use crate::system::connect_error;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// Connects to one of the addresses of `host`.
pub(crate) async fn connect(
    host: &str,
    addresses: &[SocketAddr],
    limit: Option<Duration>,
) -> Result<(TcpStream, SocketAddr), Error> {
    let racing = race(host, addresses);
    match limit {
        None => racing.await,
        Some(limit) => timeout(limit, racing)
            .await
            .unwrap_or_else(|_| Err(Error::new(Phase::Connect, Cause::TimedOut { limit }))),
    }
}

async fn race(host: &str, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Error> {
    let mut race = Race::new(addresses);
    let mut attempts: Vec<(SocketAddr, Connecting)> = Vec::new();
    let mut last = None;
    loop {
        let until = match race.step(Instant::now()) {
            Step::Lost => return Err(connect_error(host, race.tried(), last)),
            Step::Try(address) => {
                attempts.push((address, Box::pin(TcpStream::connect(address))));
                continue;
            }
            Step::Wait(until) => until,
        };
        match next(&mut attempts, until).await {
            None => {}
            Some((_, Err(error))) => {
                last = Some(error);
                race.failed();
            }
            Some((address, Ok(socket))) => {
                // Records are sent whole: waiting to fill segments only delays their tails.
                let _ = socket.set_nodelay(true);
                return Ok((socket, address));
            }
        }
    }
}

/// The first attempt that comes to an end, if one does until then.
async fn next(
    attempts: &mut Vec<(SocketAddr, Connecting)>,
    until: Option<Instant>,
) -> Option<(SocketAddr, io::Result<TcpStream>)> {
    // Without a time to wake up, only an attempt ends the waiting.
    let mut alarm = pin!(until.map(|at| sleep_until(at.into())));
    poll_fn(|cx| {
        for index in 0..attempts.len() {
            let Some((address, attempt)) = attempts.get_mut(index) else {
                break;
            };
            if let Poll::Ready(result) = attempt.as_mut().poll(cx) {
                let address = *address;
                drop(attempts.swap_remove(index));
                return Poll::Ready(Some((address, result)));
            }
        }
        match alarm.as_mut().as_pin_mut() {
            Some(alarm) => alarm.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}
