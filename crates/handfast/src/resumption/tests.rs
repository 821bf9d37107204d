//! What is kept for resumption, and for how long.

use super::*;
use std::time::{SystemTime, UNIX_EPOCH};

fn clock(at: &Arc<AtomicU64>) -> Clock {
    let at = Arc::clone(at);
    Clock::new(move || -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(at.load(Ordering::Relaxed))
    })
}

fn ticketer(keys: &TicketKeys, policy: &[u8], at: &Arc<AtomicU64>) -> Ticketer {
    Ticketer::new(keys.clone(), PolicyId::of(&[policy]), clock(at), None)
}

#[test]
fn a_successor_decrypts_tickets_once_it_has_the_keys() {
    let at = Arc::new(AtomicU64::new(1_000_000));
    let keys = TicketKeys::new();
    let before = ticketer(&keys, b"policy", &at);
    callback_data::begin(&Session::default());
    let mut tickets = Vec::new();
    for _ in 0..3 {
        tickets.push(before.encrypt(b"session").unwrap());
        at.fetch_add(ROTATION.as_secs(), Ordering::Relaxed);
    }
    at.fetch_sub(ROTATION.as_secs(), Ordering::Relaxed);
    let succeeding = TicketKeys::new();
    let after = ticketer(&succeeding, b"policy", &at);
    // Keys of its own, which were made at the same time.
    let own = after.encrypt(b"own").unwrap();
    assert_eq!(after.decrypt(&tickets[2]), None);
    let exported = keys.export();
    for broken in [&[][..], &[2], &exported[..exported.len() - 1]] {
        assert!(!succeeding.import(broken));
    }
    assert!(succeeding.import(&exported));
    assert!(succeeding.import(&exported), "twice is once");
    for ticket in &tickets[1..] {
        assert_eq!(after.decrypt(ticket).as_deref(), Some(&b"session"[..]));
    }
    assert_eq!(after.decrypt(&own).as_deref(), Some(&b"own"[..]));
    // The other way round: what the successor issues.
    assert_eq!(succeeding.0.lock().len(), 1 + KEYS_BEFORE);
    let nothing = TicketKeys::new().export();
    assert!(succeeding.import(&nothing));
    assert_eq!(succeeding.0.lock().len(), 1 + KEYS_BEFORE);
}

#[test]
fn tickets_are_decrypted_until_their_key_is_removed() {
    let at = Arc::new(AtomicU64::new(1_000_000));
    let ticketer = ticketer(&TicketKeys::new(), b"policy", &at);
    callback_data::begin(&Session::default());
    let ticket = ticketer.encrypt(b"session").unwrap();
    for rotations in 1..=2 {
        at.fetch_add(ROTATION.as_secs(), Ordering::Relaxed);
        ticketer.encrypt(b"generates a new key").unwrap();
        assert_eq!(
            ticketer.decrypt(&ticket).as_deref(),
            Some(&b"session"[..]),
            "{rotations}"
        );
    }
    at.fetch_add(ROTATION.as_secs(), Ordering::Relaxed);
    assert_eq!(ticketer.decrypt(&ticket), None);
}

#[test]
fn threads_share_the_keys_of_their_service_and_see_changes_at_once() {
    let at = Arc::new(AtomicU64::new(1_000_000));
    let (keys, others) = (TicketKeys::new(), TicketKeys::new());
    let here = ticketer(&keys, b"policy", &at);
    let other = ticketer(&others, b"policy", &at);
    callback_data::begin(&Session::default());
    let opens = |ticketer: &Ticketer, ticket: &[u8]| {
        callback_data::begin(&Session::default());
        ticketer.decrypt(ticket).is_some()
    };
    for _ in 0..3 {
        at.fetch_add(ROTATION.as_secs(), Ordering::Relaxed);
        let ticket = here.encrypt(b"session").unwrap();
        assert!(!opens(&other, &ticket));
        let foreign = other.encrypt(b"session").unwrap();
        assert!(!opens(&here, &foreign) && opens(&other, &foreign));
        let (back, name) = std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                assert!(opens(&here, &ticket));
                let ticket = here.encrypt(b"session").unwrap();
                let name = ticket[..KEY_NAME_LEN].to_vec();
                (ticket, name)
            });
            there.join().unwrap()
        });
        assert_eq!(name, ticket[..KEY_NAME_LEN], "both use the current key");
        assert!(opens(&here, &back) && opens(&here, &ticket));
    }
}

#[test]
fn a_ticket_is_decrypted_only_under_its_policy_and_unaltered() {
    let at = Arc::new(AtomicU64::new(1_000_000));
    let keys = TicketKeys::new();
    let open = ticketer(&keys, b"any client", &at);
    let strict = ticketer(&keys, b"clients with certificates", &at);
    callback_data::begin(&Session::default());
    let ticket = open.encrypt(b"session").unwrap();
    assert!(open.decrypt(&ticket).is_some());
    assert!(strict.decrypt(&ticket).is_none());
    for index in 0..ticket.len() {
        let mut altered = ticket.clone();
        altered[index] ^= 1;
        assert!(open.decrypt(&altered).is_none(), "byte {index}");
        assert!(open.decrypt(&ticket[..index]).is_none(), "cut at {index}");
    }
}

#[test]
fn a_session_expires_with_its_first_certificate() {
    let at = Arc::new(AtomicU64::new(1_000_000));
    let ticketer = ticketer(&TicketKeys::new(), b"policy", &at);
    let sessions = PolicySessions::new(
        ServerSessions::default(),
        PolicyId::of(&[b"p"]),
        clock(&at),
        None,
    );
    callback_data::begin(&Session {
        not_after: Some(1_000_100),
        ..Session::default()
    });
    let ticket = ticketer.encrypt(b"session").unwrap();
    sessions.put(b"id".to_vec(), b"session".to_vec());
    callback_data::begin(&Session::default());
    assert!(ticketer.decrypt(&ticket).is_some());
    assert_eq!(callback_data::end().session.not_after, Some(1_000_100));
    assert!(sessions.get(b"id").is_some());
    at.store(1_000_101, Ordering::Relaxed);
    assert!(ticketer.decrypt(&ticket).is_none());
    assert!(sessions.get(b"id").is_none());
}

#[test]
fn the_servers_cache_is_bounded_and_separate_for_each_policy() {
    let at = Arc::new(AtomicU64::new(1));
    let shared = ServerSessions::default();
    let one = PolicySessions::new(shared.clone(), PolicyId::of(&[b"one"]), clock(&at), None);
    let two = PolicySessions::new(shared.clone(), PolicyId::of(&[b"two"]), clock(&at), None);
    for n in 0..2 * SERVER_SESSIONS_MAX {
        one.put(n.to_be_bytes().to_vec(), vec![1]);
    }
    assert_eq!(shared.lock().entries.len(), SERVER_SESSIONS_MAX);
    let newest = (2 * SERVER_SESSIONS_MAX - 1).to_be_bytes();
    assert!(two.take(&newest).is_none());
    assert!(one.take(&newest).is_some());
    assert!(one.take(&newest).is_none());
}
