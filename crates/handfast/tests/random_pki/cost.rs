//! Chains that are expensive to verify take bounded time.

use std::time::{Duration, Instant};

use handfast::{ServerName, TrustAnchors, UnixTime, VerificationPolicy};
use handfast_testbed::tangle;

/// Not a limit on speed: verifying all paths would take hours.
const FAR_TOO_LONG: Duration = Duration::from_secs(60);

#[test]
fn expensive_chains_are_refused_within_bounds_and_valid_ones_verified() {
    let name = ServerName::parse("shop.example").unwrap();
    for tangle in tangle::all() {
        let bytes: usize = tangle.chain.iter().map(|der| der.len()).sum();
        assert!(tangle.chain.len() <= 32 && bytes <= 256 * 1024, "{bytes}");
        let anchors = TrustAnchors::empty()
            .with_certificate_der(tangle.anchor)
            .unwrap();
        let policy = VerificationPolicy::new(anchors);
        let began = Instant::now();
        let verdict = policy.check_server_chain(&tangle.chain, &name, UnixTime::now());
        let took = began.elapsed();
        println!(
            "{:>8.1?} {bytes:>7} bytes {}: {}",
            took,
            tangle.what,
            verdict.as_ref().map_or_else(
                |error| format!("{} at {:?}", error.cause.id(), error.at_index),
                |path| format!("verified with {} certificates", path.chain().len())
            )
        );
        assert_eq!(verdict.is_ok(), tangle.is_sound, "{}", tangle.what);
        assert!(took < FAR_TOO_LONG, "{}: {took:?}", tangle.what);
    }
}
