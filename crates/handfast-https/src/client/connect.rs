//! From an origin to a stream: resolve, connect, handshake (for https), with the phase of each error.

use std::net::SocketAddr;
use std::sync::Arc;
#[cfg(unix)]
use std::{
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

use handfast::{ClientContext, Phase, Report};
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
) -> Result<(Box<dyn Channel>, Way), handfast_dial::Error> {
    #[cfg(unix)]
    if let Some(path) = &settings.unix_socket {
        reached(Phase::Connect);
        return reach_unix(path, settings.context.timeouts().connect).await;
    }
    let mut setup = SetupTimes::default();
    let mut through = None;
    let dialer = Dialer::clone(&settings.dialer).with_limits(&settings.context.timeouts());
    let Dialled {
        channel, address, ..
    } = dialer
        .dial_async_observed(&origin.place(), origin.port, |progress| match progress {
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
        .await?;
    let way = Way {
        address,
        local: channel.local_addr().ok(),
        proxy: through,
        setup,
    };
    Ok((Box::new(channel), way))
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
