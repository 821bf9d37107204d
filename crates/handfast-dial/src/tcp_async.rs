//! A TCP connection to a name: the first of its addresses that answers (RFC 8305).

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use ::tokio::net::{TcpStream, lookup_host};
use ::tokio::time::{sleep, timeout};

use handfast::{Phase, Timeouts};

use crate::error::{Cause, Error};
use crate::resolve;

/// After this long the next address is tried beside the first (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

pub(crate) async fn connect_tcp(
    host: &str,
    port: u16,
    timeouts: &Timeouts,
) -> Result<TcpStream, Error> {
    resolve::refuse_number(host)?;
    let lookup = lookup_host((host, port));
    let answer = match timeouts.resolve {
        None => lookup.await,
        Some(limit) => timeout(limit, lookup)
            .await
            .map_err(|_| Error::new(Phase::Resolve, Cause::TimedOut { limit }))?,
    };
    let addresses: Vec<_> = answer
        .map_err(|source| {
            let cause = Cause::NotResolved {
                host: host.to_owned(),
                source,
            };
            Error::new(Phase::Resolve, cause)
        })?
        .collect();
    let attempts = connect_any(host, &addresses);
    match timeouts.connect {
        None => attempts.await,
        Some(limit) => timeout(limit, attempts)
            .await
            .map_err(|_| Error::new(Phase::Connect, Cause::TimedOut { limit }))?,
    }
}

/// The first address that answers: each gets a head start before the next is tried beside it.
async fn connect_any(host: &str, addresses: &[std::net::SocketAddr]) -> Result<TcpStream, Error> {
    let mut remaining = addresses.iter();
    let mut running: Vec<Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>> = Vec::new();
    let mut last = None;
    loop {
        match remaining.next() {
            Some(address) => running.push(Box::pin(TcpStream::connect(*address))),
            None if running.is_empty() => {
                return Err(resolve::connect_error(host, addresses.to_vec(), last));
            }
            None => {}
        }
        let more = remaining.len() > 0;
        let mut head_start = pin!(sleep(NEXT_ADDRESS_AFTER));
        let answer = poll_fn(|cx| {
            let mut index = 0;
            while index < running.len() {
                match running[index].as_mut().poll(cx) {
                    Poll::Ready(Ok(socket)) => return Poll::Ready(Some(Ok(socket))),
                    Poll::Ready(Err(error)) => {
                        drop(running.swap_remove(index));
                        return Poll::Ready(Some(Err(error)));
                    }
                    Poll::Pending => index += 1,
                }
            }
            if more {
                head_start.as_mut().poll(cx).map(|()| None)
            } else {
                Poll::Pending
            }
        })
        .await;
        match answer {
            Some(Ok(socket)) => {
                // Records are sent whole: waiting to fill segments only delays their tails.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Some(Err(error)) => last = Some(error),
            None => {}
        }
    }
}
