//! For development: the addresses that others can use, as a QR code for a phone, and the browser.

use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::names;
use crate::output;

/// The URLs under which other machines reach the server, with the address in each.
pub(super) fn urls_for_others(addresses: &[SocketAddr]) -> Vec<(IpAddr, String)> {
    let mut urls = Vec::new();
    let own = names::addresses();
    for address in addresses {
        let ip = address.ip();
        let reached: Vec<_> = match ip.is_unspecified() {
            true => own
                .iter()
                .filter(|one| one.is_ipv4() == ip.is_ipv4())
                .copied()
                .collect(),
            false if ip.is_loopback() => Vec::new(),
            false => vec![ip],
        };
        for ip in reached {
            let url = format!("https://{}/", SocketAddr::new(ip, address.port()));
            urls.push((ip, url));
        }
    }
    urls
}

/// The URL on this machine.
fn own_url(addresses: &[SocketAddr]) -> Option<String> {
    let address = addresses.first()?;
    Some(match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => {
            format!("https://localhost:{}/", address.port())
        }
        _ => format!("https://{address}/"),
    })
}

/// The first URL for others, of those that the certificate covers if there is one, to be read by a camera; dark terminals are more common, so
/// light is ink.
pub(super) fn qr(addresses: &[SocketAddr], covers: impl Fn(IpAddr) -> bool) -> Option<String> {
    let mut urls = urls_for_others(addresses);
    urls.sort_by_key(|(ip, _)| !covers(*ip));
    let Some((_, url)) = urls.into_iter().next() else {
        output::warning(
            "--qr: other machines cannot reach this server, which listens on loopback alone: add --listen :8443",
        );
        return None;
    };
    let code = QrCode::new(&url).ok()?;
    let picture = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Some(format!("{picture}\n{url}\n"))
}

/// Starts the browser, which has to be done before the process can no longer start programs.
pub(super) fn open(addresses: &[SocketAddr]) {
    let Some(url) = own_url(addresses) else {
        return;
    };
    let program = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    let started = Command::new(program)
        .arg(&url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        output::warning(format!(
            "--open: {program} cannot be started ({error}); open {url}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_leads_to_an_address_that_others_can_use() {
        let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(urls_for_others(&[parse("127.0.0.1:1"), parse("[::1]:1")]).is_empty());
        let urls = urls_for_others(&[parse("192.0.2.7:8443"), parse("[2001:db8::7]:8443")]);
        let urls: Vec<_> = urls.into_iter().map(|(_, url)| url).collect();
        assert_eq!(
            urls,
            ["https://192.0.2.7:8443/", "https://[2001:db8::7]:8443/"]
        );
        // The one that the certificate covers.
        let both = [parse("198.51.100.7:8443"), parse("192.0.2.7:8443")];
        let code = qr(&both, |ip| ip == both[1].ip()).unwrap();
        let lines: Vec<_> = code.lines().collect();
        assert!(
            lines.len() > 12 && lines.last() == Some(&"https://192.0.2.7:8443/"),
            "{code}"
        );
        let width = lines[0].chars().count();
        assert!(
            lines[..lines.len() - 1]
                .iter()
                .all(|line| line.chars().count() == width)
        );
        assert_eq!(
            own_url(&[parse("0.0.0.0:1")]).as_deref(),
            Some("https://localhost:1/")
        );
        assert_eq!(
            own_url(&[parse("192.0.2.7:1")]).as_deref(),
            Some("https://192.0.2.7:1/")
        );
    }
}
