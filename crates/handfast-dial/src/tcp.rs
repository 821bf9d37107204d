//! TCP to the first of some addresses that answers, blocking.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use handfast::Phase;
use mio::{Events, Interest, Poll, Token};

use crate::error::{Cause, Error};
use crate::local::LocalEnd;
use crate::race::{Race, Step};
use crate::system::connect_error;

/// What became of one attempt.
pub(crate) type Outcome<'o> = Result<(), &'o io::Error>;

struct Attempt {
    address: SocketAddr,
    began: Instant,
    socket: mio::net::TcpStream,
}

/// Connects to one of the addresses of `host`, each attempt told to `observe`: its address, how long it took, and
/// what became of it. Those that are still running when another answers are given up, and not told.
pub(crate) fn connect(
    host: &str,
    addresses: &[SocketAddr],
    limit: Option<Duration>,
    observe: &mut dyn FnMut(SocketAddr, Duration, Outcome<'_>),
) -> Result<(TcpStream, SocketAddr), Error> {
    let here = |source| Error::new(Phase::Connect, Cause::from(source));
    let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let mut race = Race::new(addresses);
    let mut poll = Poll::new().map_err(|source| connect_error(host, Vec::new(), Some(source)))?;
    let mut events = Events::with_capacity(16);
    // By token; those that have failed leave their place empty.
    let mut attempts: Vec<Option<Attempt>> = Vec::new();
    let mut last = None;
    loop {
        let until = match race.step(Instant::now()) {
            Step::Lost => break,
            Step::Try(address) => {
                let began = Instant::now();
                let begun = mio::net::TcpStream::connect(address).and_then(|mut socket| {
                    let token = Token(attempts.len());
                    let registry = poll.registry();
                    registry.register(&mut socket, token, Interest::WRITABLE)?;
                    Ok(socket)
                });
                match begun {
                    Ok(socket) => attempts.push(Some(Attempt {
                        address,
                        began,
                        socket,
                    })),
                    Err(error) => {
                        observe(address, began.elapsed(), Err(&error));
                        last = Some(error);
                        race.failed();
                    }
                }
                continue;
            }
            Step::Wait(until) => until,
        };
        let now = Instant::now();
        if let Some((at, limit)) = deadline
            && at <= now
        {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            for attempt in attempts.iter().flatten() {
                observe(attempt.address, attempt.began.elapsed(), Err(&late));
            }
            return Err(Error::new(Phase::Connect, Cause::TimedOut { limit }));
        }
        let until = [until, deadline.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .min();
        match poll.poll(
            &mut events,
            until.map(|at| at.saturating_duration_since(now)),
        ) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(here)?,
        }
        for event in &events {
            let Some(place) = attempts.get_mut(event.token().0) else {
                continue;
            };
            let Some(outcome) = place.as_ref().and_then(outcome) else {
                continue;
            };
            let Some(attempt) = place.take() else {
                continue;
            };
            let took = attempt.began.elapsed();
            match outcome {
                Ok(()) => {
                    observe(attempt.address, took, Ok(()));
                    let socket = TcpStream::from(attempt.socket);
                    socket.set_nonblocking(false).map_err(here)?;
                    // Records are sent whole: waiting to fill segments only delays their tails.
                    let _ = socket.set_nodelay(true);
                    return Ok((socket, attempt.address));
                }
                Err(error) => {
                    observe(attempt.address, took, Err(&error));
                    last = Some(error);
                    race.failed();
                }
            }
        }
    }
    Err(connect_error(host, race.tried(), last))
}

/// As [`connect`], from this end: one address after another, as the operating system's call that connects within a limit
/// blocks.
pub(crate) fn connect_from(
    local: &LocalEnd,
    host: &str,
    addresses: &[SocketAddr],
    limit: Option<Duration>,
    observe: &mut dyn FnMut(SocketAddr, Duration, Outcome<'_>),
) -> Result<(TcpStream, SocketAddr), Error> {
    let deadline = limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
    let mut last = None;
    let mut tried = Vec::new();
    for address in addresses {
        let began = Instant::now();
        tried.push(*address);
        let connected = local.socket(*address).and_then(|socket| {
            let to = (*address).into();
            match deadline {
                None => socket.connect(&to)?,
                Some((at, _)) => {
                    // Zero is refused as a limit.
                    let left = at.saturating_duration_since(began);
                    socket.connect_timeout(&to, left.max(Duration::from_millis(1)))?;
                }
            }
            Ok(TcpStream::from(socket))
        });
        match connected {
            Ok(socket) => {
                observe(*address, began.elapsed(), Ok(()));
                let _ = socket.set_nodelay(true);
                return Ok((socket, *address));
            }
            Err(error) => {
                observe(*address, began.elapsed(), Err(&error));
                if let Some((at, limit)) = deadline
                    && at <= Instant::now()
                {
                    return Err(Error::new(Phase::Connect, Cause::TimedOut { limit }));
                }
                last = Some(error);
            }
        }
    }
    Err(connect_error(host, tried, last))
}

/// What became of an attempt; none while it goes on: an event may say nothing new.
fn outcome(attempt: &Attempt) -> Option<io::Result<()>> {
    match attempt.socket.take_error() {
        Ok(None) => {}
        Ok(Some(error)) | Err(error) => return Some(Err(error)),
    }
    match attempt.socket.peer_addr() {
        Ok(_) => Some(Ok(())),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
        Err(error) => Some(Err(error)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::TcpListener;

    use super::*;

    /// An address of loopback on which nothing listens.
    fn closed() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[test]
    fn the_first_address_that_answers_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let mut told = Vec::new();
        let (socket, address) =
            connect("x", &[closed(), open], None, &mut |address, _, outcome| {
                told.push((address, outcome.is_ok()));
            })
            .unwrap();
        assert_eq!((address, socket.peer_addr().unwrap()), (open, open));
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[1], (open, true));
        assert!(!told[0].1);
    }

    #[test]
    fn an_address_that_does_not_answer_does_not_delay_the_next() {
        let Some(silent) = silent() else {
            return;
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let limit = Some(Duration::from_secs(30));
        let (_, address) = connect("x", &[silent.address, open], limit, &mut |_, _, _| {}).unwrap();
        assert_eq!(address, open);
        let limit = Duration::from_millis(50);
        let error = connect("x", &[silent.address], Some(limit), &mut |_, _, _| {}).unwrap_err();
        assert!(matches!(error.cause(), Cause::TimedOut { limit: told } if *told == limit));
    }

    #[test]
    fn when_every_address_refuses_all_of_them_are_told() {
        let all = [closed(), closed()];
        let error = connect("x", &all, None, &mut |_, _, _| {}).unwrap_err();
        let Cause::Refused { addresses } = error.cause() else {
            panic!("{error:?}");
        };
        assert_eq!(addresses[..], all);
    }

    /// A listener whose queue is full: connecting to it is not answered.
    pub(crate) struct Silent {
        pub(crate) address: SocketAddr,
        _listener: socket2::Socket,
        _waiting: Vec<mio::net::TcpStream>,
    }

    /// None where the operating system answers all the same.
    pub(crate) fn silent() -> Option<Silent> {
        let listener =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let waiting: Vec<_> = (0..8)
            .map(|_| mio::net::TcpStream::connect(address).unwrap())
            .collect();
        let last = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        last.is_err().then_some(Silent {
            address,
            _listener: listener,
            _waiting: waiting,
        })
    }
}
