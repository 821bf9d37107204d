//! TCP to the first of some addresses that answers, without blocking.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use handfast::Phase;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep_until, timeout};

use crate::error::{Cause, Error};
use crate::local::LocalEnd;
use crate::race::{Race, Step};
use crate::system::connect_error;

type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

struct Attempt {
    address: SocketAddr,
    began: Instant,
    connecting: Connecting,
}

/// The attempt that succeeded.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) socket: TcpStream,
    pub(crate) address: SocketAddr,
    /// How long it took, without the attempts before it.
    pub(crate) took: Duration,
}

/// Connects to one of the addresses of `host`.
pub(crate) async fn connect(
    host: &str,
    addresses: &[SocketAddr],
    limit: Option<Duration>,
    local: &LocalEnd,
) -> Result<Connected, Error> {
    let racing = race(host, addresses, local);
    match limit {
        None => racing.await,
        Some(limit) => timeout(limit, racing)
            .await
            .unwrap_or_else(|_| Err(Error::new(Phase::Connect, Cause::TimedOut { limit }))),
    }
}

async fn race(host: &str, addresses: &[SocketAddr], local: &LocalEnd) -> Result<Connected, Error> {
    let mut race = Race::new(addresses);
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut last = None;
    loop {
        let until = match race.step(Instant::now()) {
            Step::Lost => return Err(connect_error(host, race.tried(), last)),
            Step::Try(address) => {
                attempts.push(Attempt {
                    address,
                    began: Instant::now(),
                    connecting: begin(address, local),
                });
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
            Some((attempt, Ok(socket))) => {
                // Records are sent whole: waiting to fill segments only delays their tails.
                let _ = socket.set_nodelay(true);
                return Ok(Connected {
                    socket,
                    address: attempt.address,
                    took: attempt.began.elapsed(),
                });
            }
        }
    }
}

fn begin(address: SocketAddr, local: &LocalEnd) -> Connecting {
    if local.is_any() {
        return Box::pin(TcpStream::connect(address));
    }
    let socket = local.socket(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        Ok(TcpSocket::from_std_stream(socket.into()))
    });
    Box::pin(async move { socket?.connect(address).await })
}

/// The first attempt that comes to an end, if one does until then.
async fn next(
    attempts: &mut Vec<Attempt>,
    until: Option<Instant>,
) -> Option<(Attempt, io::Result<TcpStream>)> {
    // Without a time to wake up, only an attempt ends the waiting.
    let mut alarm = pin!(until.map(|at| sleep_until(at.into())));
    poll_fn(|cx| {
        for index in 0..attempts.len() {
            let Some(attempt) = attempts.get_mut(index) else {
                break;
            };
            if let Poll::Ready(result) = attempt.connecting.as_mut().poll(cx) {
                return Poll::Ready(Some((attempts.swap_remove(index), result)));
            }
        }
        match alarm.as_mut().as_pin_mut() {
            Some(alarm) => alarm.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::race::NEXT_ADDRESS_AFTER;
    use crate::tcp::tests::silent;

    #[tokio::test]
    async fn the_time_of_an_attempt_is_without_those_before_it() {
        let Some(silent) = silent() else {
            return;
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let began = Instant::now();
        let connected = connect("x", &[silent.address, open], None, &LocalEnd::default())
            .await
            .unwrap();
        assert_eq!(connected.address, open);
        assert!(connected.took + NEXT_ADDRESS_AFTER <= began.elapsed());
    }
}
