//! An expiry monitor: names in; for each, the days left of its certificate, or why there is no connection.
//!
//!     cargo run --example expiry -- example.org mail.example:993 [--ca CA.pem]
//!
//! Ends with 1 if a server could not be verified, or has less than two weeks left.

use std::error::Error;
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use handfast::{
    Cause, CertificateDer, CertificateFacts, ClientContext, ClosePolicy, Explanation, PeerCause,
    TrustAnchors,
};
use handfast_dial::Dialer;

/// Less is worth a look: certificates of 90 days are renewed a month before their end.
const DAYS_MIN: i64 = 14;
/// What questions about a failure may take.
const PROBE_WITHIN: Duration = Duration::from_secs(5);
const DAY_SECS: i64 = 86_400;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether all is well.
fn run() -> Result<bool, Box<dyn Error>> {
    let mut servers = Vec::new();
    let mut trust = TrustAnchors::platform();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--ca" => trust = trust.with_file(args.next().ok_or("--ca FILE")?)?,
            _ => servers.push(arg),
        }
    }
    let context = ClientContext::builder().trust(trust).build()?;
    let dialer = Dialer::within(&context.timeouts());
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    let mut all_well = true;
    for server in &servers {
        let found = look(&context, &dialer, server);
        let days = found.not_after.map(|end| (end - now).div_euclid(DAY_SECS));
        let days_told = match days {
            None => "no certificate".to_owned(),
            Some(..0) => "expired".to_owned(),
            Some(days) => format!("{days} days left"),
        };
        match &found.failure {
            None => println!("{server}: {days_told}"),
            Some(why) => println!("{server}: {days_told}; {} [{}]", why.what, why.id),
        }
        all_well &= found.failure.is_none() && days.is_some_and(|days| days >= DAYS_MIN);
    }
    Ok(all_well)
}

/// What there is to tell of a server.
struct Found {
    /// When the first certificate of its chain to expire does, in unix seconds: also of a chain that was refused.
    not_after: Option<i64>,
    failure: Option<Explanation>,
}

fn look(context: &ClientContext, dialer: &Dialer, server: &str) -> Found {
    let failed = |failure| Found {
        not_after: None,
        failure: Some(failure),
    };
    let authority = match server.contains(':') {
        true => server.to_owned(),
        false => format!("{server}:443"),
    };
    let (host, port) = match handfast_dial::split_authority(&authority) {
        Ok(parts) => parts,
        Err(error) => return failed(error.explain()),
    };
    let connect = || dialer.dial(host, port).map(|dialled| dialled.channel);
    let socket: TcpStream = match connect() {
        Ok(socket) => socket,
        Err(error) => return failed(error.explain()),
    };
    match context.secure(host, socket) {
        Ok(mut stream) => {
            let not_after = first_to_expire(&stream.report().peer_chain);
            stream.close(ClosePolicy::Send);
            Found {
                not_after,
                failure: None,
            }
        }
        Err(failure) => {
            // Over what? A few more connections tell, and whether it is this machine's clock that is wrong.
            let error =
                handfast_probe::clarify(failure.error, context, host, PROBE_WITHIN, connect);
            let error =
                handfast_probe::with_unverified_reply(error, host, port, PROBE_WITHIN, connect);
            let chain = match error.cause() {
                Cause::Peer(PeerCause::Certificate(refused)) => &refused.chain[..],
                _ => &[],
            };
            Found {
                not_after: first_to_expire(chain),
                failure: Some(error.explain()),
            }
        }
    }
}

fn first_to_expire(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let facts = chain
        .iter()
        .filter_map(|der| CertificateFacts::from_der(der).ok());
    facts.map(|facts| facts.not_after).min()
}
