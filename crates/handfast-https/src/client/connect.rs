//! From an origin to a secured stream: resolve, connect, shake hands, each phase told apart.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use handfast::{ClientContext, Phase};
use handfast_dial::{Cause, Error, connect_error};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::event::Event;
use super::proxy::connect_through;
use super::settings::Settings;
use super::wire::{Channel, TlsStream};

/// After this long the next address is tried beside the first (RFC 8305, section 5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

/// Whom to connect to: host and port. The scheme is always https.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// A DNS name in ASCII, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Connects, through a proxy where one is set, and shakes hands; tells `reached` of each phase after the first.
pub(super) async fn open(
    settings: &Settings,
    context: &ClientContext,
    origin: &Origin,
    reached: impl Fn(Phase),
) -> Result<(TlsStream, SocketAddr), super::Error> {
    let (socket, address) = reach(settings, origin, &reached).await?;
    reached(Phase::Handshake);
    let channel: Box<dyn Channel> = Box::new(socket);
    let mut stream = context
        .secure_async(&origin.host, channel)
        .await
        .map_err(|failure| failure.error)?;
    // What is to be sent is flushed; and how long silence may last is judged over both
    // directions together, in `patience.rs`.
    stream.set_flush_on_read(false);
    stream.set_timeouts(&handfast::Timeouts::NONE);
    Ok((stream, address))
}

/// A channel to the origin: TCP, through a proxy where one is set.
pub(super) async fn reach(
    settings: &Settings,
    origin: &Origin,
    reached: impl Fn(Phase),
) -> Result<(TcpStream, SocketAddr), Error> {
    let proxy = settings
        .proxy
        .as_ref()
        .filter(|proxy| proxy.is_for(&origin.host));
    let Some(proxy) = proxy else {
        return reach_directly(settings, origin, reached).await;
    };
    let target = proxy.target(&origin.host, origin.port);
    let itself = Origin {
        host: proxy.host().to_owned(),
        port: proxy.port(),
    };
    let (mut socket, address) = reach_directly(settings, &itself, reached)
        .await
        .map_err(|error| error.of_proxy(&target))?;
    let began = Instant::now();
    let asking = connect_through(&mut socket, target.clone(), proxy.credentials());
    in_time(Phase::Connect, settings.context.timeouts().connect, asking).await?;
    settings.tell(&Event::Proxied {
        proxy: &target.proxy,
        server: &target.authority,
        took: began.elapsed(),
    });
    Ok((socket, address))
}

async fn reach_directly(
    settings: &Settings,
    origin: &Origin,
    reached: impl Fn(Phase),
) -> Result<(TcpStream, SocketAddr), Error> {
    let limits = settings.context.timeouts();
    let began = Instant::now();
    let addresses = in_time(
        Phase::Resolve,
        limits.resolve,
        addresses_of(settings, origin),
    )
    .await?;
    settings.tell(&Event::Resolved {
        host: &origin.host,
        addresses: &addresses,
        took: began.elapsed(),
    });

    reached(Phase::Connect);
    let began = Instant::now();
    let (socket, address) = in_time(
        Phase::Connect,
        limits.connect,
        connect_any(&origin.host, &addresses),
    )
    .await?;
    // Records are sent whole: waiting to fill segments only delays their tails.
    let _ = socket.set_nodelay(true);
    settings.tell(&Event::Connected {
        address,
        took: began.elapsed(),
    });
    Ok((socket, address))
}

async fn in_time<T>(
    phase: Phase,
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match limit {
        None => work.await,
        Some(limit) => timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(Error::new(phase, Cause::TimedOut { limit }))),
    }
}

async fn addresses_of(settings: &Settings, origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
    let Origin { host, port } = origin;
    if let Some(addresses) = settings.fixed_addresses(host, *port) {
        return Ok(addresses);
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, *port)]);
    }
    let not_resolved = |source| {
        let cause = Cause::NotResolved {
            host: host.clone(),
            source,
        };
        Error::new(Phase::Resolve, cause)
    };
    let addresses: Vec<_> = lookup_host((host.as_str(), *port))
        .await
        .map_err(not_resolved)?
        .collect();
    if addresses.is_empty() {
        let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        return Err(not_resolved(nothing));
    }
    Ok(addresses)
}

/// The first address that answers: each gets a head start before the next is tried beside it.
async fn connect_any(
    host: &str,
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr), Error> {
    let mut remaining = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = remaining.next() {
            attempts.spawn(async move { TcpStream::connect(address).await.map(|s| (s, address)) });
        }
        let next = if remaining.len() > 0 {
            timeout(NEXT_ADDRESS_AFTER, attempts.join_next()).await
        } else {
            Ok(attempts.join_next().await)
        };
        match next {
            Ok(Some(Ok(Ok(connected)))) => return Ok(connected),
            Ok(Some(Ok(Err(error)))) => last = Some(error),
            Ok(Some(Err(error))) => last = Some(io::Error::other(error)),
            // Every attempt failed, or the head start is over.
            Ok(None) if remaining.len() == 0 => {
                return Err(connect_error(host, addresses.to_vec(), last));
            }
            Ok(None) | Err(_) => {}
        }
    }
}
