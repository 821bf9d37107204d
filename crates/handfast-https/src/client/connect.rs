//! From an origin to a stream: resolve, connect, handshake (for https), with the phase of each error.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
#[cfg(unix)]
use std::{net::Ipv4Addr, path::Path, time::Duration};

use handfast::{ClientContext, Phase, Report};
use handfast_dial::proxy::ProxyProtocol;
use handfast_dial::{Dialer, Dialled, Progress};

use super::error::Error;
use super::event::{Callbacks, Event};
use super::facts::SetupTimes;
use super::origin::Origin;
use super::settings::Settings;
use super::stream::{Plain, Stream};
use super::tls_stream::Channel;

/// Connects, through a proxy if one is set, and completes the handshake; reports each phase after the first to `reached`.
pub(super) async fn open(
    settings: &Settings,
    context: &ClientContext,
    origin: &Origin,
    callbacks: &Callbacks,
    reached: impl Fn(Phase),
) -> Result<(Stream, Option<Arc<Report>>, Way), Error> {
    let (socket, mut way) = reach(settings, origin, callbacks, &reached).await?;
    if origin.is_plain {
        return Ok((Stream::Plain(Plain::new(socket)), None, way));
    }
    reached(Phase::Handshake);
    let mut stream = context
        .secure_async(&origin.host, socket)
        .await
        .map_err(|failure| failure.error)?;
    // What is to be sent is flushed; and how long silence may last is judged over both
    // directions together, in `patience.rs`.
    stream.set_flush_on_read(false);
    stream.set_timeouts(&handfast::Timeouts::NONE);
    let report = Arc::clone(stream.report());
    way.setup.handshake = report.handshake;
    Ok((Stream::Tls(Box::new(stream)), Some(report), way))
}

/// How a server was reached.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    pub(super) proxy: Option<String>,
    pub(super) setup: SetupTimes,
}

/// A channel to the origin: TCP, through a proxy where one is set; or a Unix socket.
pub(super) async fn reach(
    settings: &Settings,
    origin: &Origin,
    callbacks: &Callbacks,
    reached: impl Fn(Phase),
) -> Result<(Box<dyn Channel>, Way), Error> {
    #[cfg(unix)]
    if let Some(path) = &settings.unix_socket {
        reached(Phase::Connect);
        return Ok(reach_unix(path, settings.context.timeouts().connect).await?);
    }
    let mut setup = SetupTimes::default();
    let mut through = None;
    let limits = settings.context.timeouts();
    let dialer = Dialer::clone(&settings.dialer).with_limits(&limits);
    let place = origin.place();
    let secured = match (dialer.proxy_for(&place), &settings.proxy_context) {
        (Some(proxy), Some(context)) if proxy.protocol() == ProxyProtocol::Https => {
            Some((proxy.clone(), context))
        }
        _ => None,
    };
    let (server_host, server_port) = dialer.place(&place, origin.port);
    // Over TLS the proxy is a server first, and what is told of it is what is told of a server.
    let (host, port) = match &secured {
        Some((proxy, _)) => (proxy.host(), proxy.port()),
        None => (&*place, origin.port),
    };
    let dialling = match secured {
        Some(_) => dialer.clone().directly(),
        None => dialer.clone(),
    };
    let Dialled {
        channel, address, ..
    } = dialling
        .dial_async_observed(host, port, |progress| match progress {
            Progress::Resolved {
                host,
                addresses,
                took,
            } => {
                setup.resolve = *took;
                callbacks.tell(&Event::Resolved {
                    host,
                    addresses,
                    took: *took,
                });
                reached(Phase::Connect);
            }
            Progress::Tried { address, took, .. } => {
                setup.connect = *took;
                callbacks.tell(&Event::Connected {
                    address: *address,
                    took: *took,
                });
            }
            Progress::Proxied {
                proxy,
                server,
                took,
            } => {
                setup.proxy = Some(*took);
                through = Some((*proxy).to_owned());
                callbacks.tell(&Event::Proxied {
                    proxy,
                    server,
                    took: *took,
                });
            }
            _ => {}
        })
        .await
        .map_err(|error| match &secured {
            Some((proxy, _)) => error.of_proxy(&proxy.target(server_host, server_port)),
            None => error,
        })?;
    let mut way = Way {
        address,
        local: channel.local_addr().ok(),
        proxy: through,
        setup,
    };
    let Some((proxy, context)) = secured else {
        return Ok((Box::new(channel), way));
    };
    let began = Instant::now();
    let mut stream = context
        .secure_async(proxy.host(), channel)
        .await
        .map_err(|failure| Error::ProxyTls {
            proxy: proxy.to_string(),
            source: failure.error,
        })?;
    proxy
        .tunnel_async(&mut stream, server_host, server_port, limits.connect)
        .await?;
    // How long silence may last is judged over the server's stream.
    stream.set_timeouts(&handfast::Timeouts::NONE);
    let took = began.elapsed();
    let name = proxy.to_string();
    callbacks.tell(&Event::Proxied {
        proxy: &name,
        server: &proxy.target(server_host, server_port).authority(),
        took,
    });
    way.setup.proxy = Some(took);
    way.proxy = Some(name);
    Ok((Box::new(stream), way))
}

#[cfg(unix)]
async fn reach_unix(
    path: &Path,
    limit: Option<Duration>,
) -> Result<(Box<dyn Channel>, Way), handfast_dial::Error> {
    let began = Instant::now();
    let channel = handfast_dial::connect_unix_async(path, limit).await?;
    let way = Way {
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
        local: None,
        proxy: None,
        setup: SetupTimes {
            connect: began.elapsed(),
            ..SetupTimes::default()
        },
    };
    Ok((Box::new(channel), way))
}
