//! What the kernel has delivered of a connection: not what it took from us, of which it keeps up to megabytes.
//!
//! Linux reports it by its interface for socket statistics (`sock_diag`), whose length of the send queue counts
//! what the peer has not acknowledged. On other systems, and without access to that interface, it is unknown.

use std::net::SocketAddr;

/// Bytes that were handed to the kernel for this connection and that the peer has not acknowledged; `None`
/// if that is unknown.
pub(super) fn unacknowledged(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    platform::unacknowledged(local, peer)
}

#[cfg(target_os = "linux")]
mod platform {
    use std::cell::RefCell;
    use std::net::{IpAddr, SocketAddr};
    use std::os::fd::OwnedFd;

    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
    };

    /// Sizes and places in messages, of `linux/netlink.h` and `linux/inet_diag.h`: a header of 16 bytes, then
    /// the request; the reply's `idiag_wqueue` stands behind header, states, socket identity, timer and
    /// receive queue.
    const REQUEST_LEN: usize = 16 + 56;
    const WQUEUE_AT: usize = 16 + 4 + 48 + 4 + 4;

    /// `SOCK_DIAG_BY_FAMILY`, as the type of a request and of what answers it.
    const BY_FAMILY: u16 = 20;

    /// `NLM_F_REQUEST`.
    const IS_REQUEST: u16 = 1;

    const TCP: u8 = 6;

    /// Longer than an answer, which carries no attributes when none are asked for.
    const REPLY_MAX: usize = 512;

    /// What is waiting from before, if anything went wrong then, is skipped.
    const REPLIES_MAX: usize = 4;

    enum Channel {
        Unopened,
        Open(OwnedFd, u32),
        /// The kernel does not have it, or does not let us.
        Closed,
    }

    thread_local! {
        static CHANNEL: RefCell<Channel> = const { RefCell::new(Channel::Unopened) };
    }

    pub(super) fn unacknowledged(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
        CHANNEL.with_borrow_mut(|channel| {
            if matches!(channel, Channel::Unopened) {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                *channel = match socket_with(
                    AddressFamily::NETLINK,
                    SocketType::RAW,
                    flags,
                    Some(netlink::SOCK_DIAG),
                ) {
                    Ok(socket) => Channel::Open(socket, 0),
                    Err(_) => Channel::Closed,
                };
            }
            let Channel::Open(socket, number) = channel else {
                return None;
            };
            *number = number.wrapping_add(1);
            ask(socket, *number, local, peer)
        })
    }

    fn ask(socket: &OwnedFd, number: u32, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
        let request = request(number, local, peer);
        send(socket, &request, SendFlags::empty()).ok()?;
        // Answered before `send` returns: there is nothing to wait for.
        for _ in 0..REPLIES_MAX {
            let mut reply = [0; REPLY_MAX];
            let (count, _) = recv(socket, &mut reply, RecvFlags::DONTWAIT).ok()?;
            let reply = reply.get(..count)?;
            if number_at(reply, 8)? == number {
                return read(reply);
            }
        }
        None
    }

    fn request(number: u32, local: SocketAddr, peer: SocketAddr) -> [u8; REQUEST_LEN] {
        let mut bytes = Vec::with_capacity(REQUEST_LEN);
        bytes.extend_from_slice(&(REQUEST_LEN as u32).to_ne_bytes());
        bytes.extend_from_slice(&BY_FAMILY.to_ne_bytes());
        bytes.extend_from_slice(&IS_REQUEST.to_ne_bytes());
        bytes.extend_from_slice(&number.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        let family = match local {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        bytes.extend_from_slice(&[family.as_raw() as u8, TCP, 0, 0]);
        // In any state.
        bytes.extend_from_slice(&u32::MAX.to_ne_bytes());
        bytes.extend_from_slice(&local.port().to_be_bytes());
        bytes.extend_from_slice(&peer.port().to_be_bytes());
        for address in [local, peer] {
            let mut octets = [0; 16];
            match address.ip() {
                IpAddr::V4(ip) => octets[..4].copy_from_slice(&ip.octets()),
                IpAddr::V6(ip) => octets = ip.octets(),
            }
            bytes.extend_from_slice(&octets);
        }
        // The interface, where the address does not say enough.
        let interface = match local {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(address) => address.scope_id(),
        };
        bytes.extend_from_slice(&interface.to_ne_bytes());
        // Whatever its cookie is.
        bytes.extend_from_slice(&[0xff; 8]);
        let mut request = [0; REQUEST_LEN];
        debug_assert_eq!(bytes.len(), REQUEST_LEN);
        for (to, from) in request.iter_mut().zip(bytes) {
            *to = from;
        }
        request
    }

    fn read(reply: &[u8]) -> Option<u32> {
        let kind = reply.get(4..6)?.first_chunk().copied()?;
        if u16::from_ne_bytes(kind) != BY_FAMILY {
            return None;
        }
        number_at(reply, WQUEUE_AT)
    }

    fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
        let number = bytes.get(at..)?.first_chunk().copied()?;
        Some(u32::from_ne_bytes(number))
    }

    #[cfg(test)]
    mod tests {
        use std::io::{Read as _, Write as _};
        use std::net::{TcpListener, TcpStream};
        use std::time::{Duration, Instant};

        use super::*;

        #[test]
        fn what_the_peer_has_not_taken_is_not_delivered() {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = TcpListener::bind(address) else {
                    continue;
                };
                let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (mut far, _) = listener.accept().unwrap();
                let (local, peer) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
                let Some(none) = unacknowledged(local, peer) else {
                    handfast_testbed::skipped::note(
                        "this kernel does not report it what was acknowledged",
                    );
                    return;
                };
                assert_eq!(none, 0);
                near.set_nonblocking(true).unwrap();
                let mut sent = 0;
                while let Ok(count) = near.write(&[0; 65_536]) {
                    sent += count;
                }
                let waiting = unacknowledged(local, peer).unwrap() as usize;
                assert!(waiting > 0 && waiting < sent, "{waiting} of {sent}");
                far.read_exact(&mut vec![0; sent]).unwrap();
                let deadline = Instant::now() + Duration::from_secs(20);
                while unacknowledged(local, peer) != Some(0) {
                    assert!(Instant::now() < deadline);
                    std::thread::yield_now();
                }
            }
        }

        #[test]
        fn a_connection_that_does_not_exist_is_not_reported() {
            let unused = "192.0.2.1:1".parse().unwrap();
            assert_eq!(unacknowledged(unused, unused), None);
            assert_eq!(read(&[]), None);
            assert_eq!(read(&[0; 20]), None);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::net::SocketAddr;

    pub(super) fn unacknowledged(_local: SocketAddr, _peer: SocketAddr) -> Option<u32> {
        None
    }
}
