//! Which stream has its turn, by what the client says of them (RFC 9218).

use super::*;

fn update(stream: u32, value: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::put_header(&mut bytes, 4 + value.len(), kind::PRIORITY_UPDATE, 0, 0);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

/// Requests with these fields of priority, each with a reply of three frames that is there at once. Returns the streams in the
/// order of their turns.
fn turns(wire: &mut Wire, priorities: &[&str]) -> Vec<u32> {
    for (number, priority) in priorities.iter().enumerate() {
        begin(wire, 2 * number as u32 + 1, priority);
    }
    drain(wire)
}

fn begin(wire: &mut Wire, id: u32, priority: &str) {
    wire.windows(1 << 20);
    let mut bytes = Vec::new();
    frame::put_window_update(&mut bytes, 0, 1 << 20);
    wire.send(&bytes);
    let mut fields = HeaderMap::new();
    if !priority.is_empty() {
        fields.insert("priority", priority.parse().unwrap());
    }
    wire.request_with(id, flag::END_STREAM, &fields);
    wire.server.own(id).unwrap().to_send = 3 * 16_384;
    let none = HeaderMap::new();
    wire.server
        .put_head(id, StatusCode::OK, &none, None, None, false);
    wire.server.want(id, wire.now);
}

fn drain(wire: &mut Wire) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(turn) = wire.server.turn() {
        order.push(turn.stream);
        let own = wire.server.own(turn.stream).unwrap();
        let count = own.to_send.min(turn.room);
        own.to_send -= count;
        let left = own.to_send;
        wire.server.put_data(turn, &vec![7; count], left == 0);
        if left > 0 {
            wire.server.want(turn.stream, wire.now);
        }
        let count = wire.server.output().len();
        wire.server.output().sent(count);
    }
    order
}

#[test]
fn streams_without_a_priority_take_turns() {
    let order = turns(&mut Wire::new(), &["", "", ""]);
    assert_eq!(order, [1, 3, 5, 1, 3, 5, 1, 3, 5]);
}

#[test]
fn the_urgent_come_first() {
    let order = turns(&mut Wire::new(), &["u=5, i", "", "u=0, i", "u=0, i"]);
    assert_eq!(order, [5, 7, 5, 7, 5, 7, 3, 3, 3, 1, 1, 1]);
}

#[test]
fn what_is_not_incremental_is_sent_one_after_the_other() {
    let order = turns(&mut Wire::new(), &["u=1", "u=1", "u=1"]);
    assert_eq!(order, [1, 1, 1, 3, 3, 3, 5, 5, 5]);
    // One that is incremental has its turns, and those of the others go to the oldest of them.
    let order = turns(&mut Wire::new(), &["u=1", "u=1, i", "u=1"]);
    assert_eq!(order, [1, 3, 1, 1, 5, 3, 5, 3, 5]);
}

#[test]
fn updates_count_before_and_after_the_request() {
    let mut wire = Wire::new();
    wire.send(&update(3, "u=0"));
    let order = turns(&mut wire, &["u=1", "u=7"]);
    assert_eq!(order, [3, 3, 3, 1, 1, 1]);
    let mut wire = Wire::new();
    for id in [1, 3] {
        begin(&mut wire, id, "u=4");
    }
    wire.send(&update(3, "u=2"));
    assert_eq!(drain(&mut wire), [3, 3, 3, 1, 1, 1]);
    // For a stream that has ended.
    wire.send(&update(1, "u=2"));
    assert!(wire.failed.is_none());
}

#[test]
fn a_flood_of_updates_ends_the_connection_and_malformed_ones_do() {
    let mut wire = Wire::new();
    for number in 0..5000 {
        wire.send(&update(2 * number + 1, "u=1"));
    }
    assert!(wire.failed.is_some());
    let mut short = Vec::new();
    frame::put_header(&mut short, 3, kind::PRIORITY_UPDATE, 0, 0);
    short.extend_from_slice(&[0; 3]);
    let mut on_stream = Vec::new();
    frame::put_header(&mut on_stream, 4, kind::PRIORITY_UPDATE, 0, 1);
    on_stream.extend_from_slice(&[0, 0, 0, 1]);
    for bytes in [short, on_stream, update(0, "u=1"), update(2, "u=1")] {
        let mut wire = Wire::new();
        wire.send(&bytes);
        assert!(wire.failed.is_some(), "{bytes:?}");
    }
}
