//! Streams whose windows stay closed, open slowly or change often.

use super::*;

#[test]
fn a_closed_window_resets_the_stream_and_a_slow_one_does_not() {
    let mut wire = Wire::new();
    wire.windows(0);
    wire.request(1, flag::END_STREAM);
    wire.request(3, flag::END_STREAM);
    wire.reply(1, 1_000_000);
    wire.reply(3, 1_000_000);
    assert_eq!(wire.server.turn(), None);
    let span = limits().span;
    // Stream 3's window opens a little above the minimum rate, stream 1's by a byte at a time.
    let enough = limits().rate_min * span.as_secs() as u32 + 10;
    for second in 1..=3 * span.as_secs() {
        wire.now += Duration::from_secs(1);
        let mut bytes = Vec::new();
        if second % 20 == 0 {
            frame::put_window_update(&mut bytes, 3, enough / 3 + 1);
            frame::put_window_update(&mut bytes, 1, 1);
        }
        // A PING is not progress.
        frame::put_header(&mut bytes, 8, kind::PING, 0, 0);
        bytes.extend_from_slice(&[0; 8]);
        wire.send(&bytes);
        pump(&mut wire.server, wire.now);
        wire.server.expire(wire.now);
        wire.events();
    }
    assert_eq!(wire.lost, [(1, Cut::Stalled)]);
    let frames = wire.frames();
    assert!(frames.contains(&(kind::RST_STREAM, 1, code::CANCEL.to_be_bytes().to_vec())));
}

#[test]
fn a_span_begins_when_the_window_is_used_up() {
    let mut wire = Wire::new();
    wire.request(1, flag::END_STREAM);
    wire.reply(1, 1_000_000);
    wire.flush();
    // 64 KiB were sent at once, far more than the minimum rate requires in a span.
    wire.now += limits().span - CLOCK;
    wire.server.expire(wire.now);
    wire.events();
    assert_eq!(wire.lost, []);
    wire.now += CLOCK;
    wire.server.expire(wire.now);
    wire.events();
    assert_eq!(wire.lost, [(1, Cut::Stalled)]);
}

#[test]
fn spans_may_be_short_or_infinite() {
    for (span, stalls) in [(Duration::from_millis(5), true), (Duration::MAX, false)] {
        let mut wire = Wire::new();
        wire.server.limits.span = span;
        wire.windows(0);
        wire.request(1, flag::END_STREAM);
        wire.reply(1, 10);
        wire.now += Duration::from_secs(3600);
        wire.server.expire(wire.now);
        wire.events();
        assert_eq!(wire.lost == [(1, Cut::Stalled)], stalls, "{span:?}");
    }
}

#[test]
fn the_connections_window_applies_to_every_stream() {
    let mut wire = Wire::new();
    wire.windows(frame::WINDOW_MAX);
    wire.request(1, flag::END_STREAM);
    wire.request(3, flag::END_STREAM);
    wire.reply(1, 65_535);
    wire.flush();
    wire.reply(3, 10);
    assert_eq!(wire.server.turn(), None);
    wire.now += limits().span;
    assert_eq!(wire.server.due(), Some(wire.now));
    wire.server.expire(wire.now);
    wire.events();
    assert_eq!(wire.lost, [(3, Cut::Stalled)]);
    // The stream that was sent completely has ended.
    assert_eq!(wire.server.streams(), 0);
}

#[test]
fn blocked_streams_are_dropped_at_the_clients_end_of_input() {
    let mut wire = Wire::new();
    wire.windows(10);
    wire.request(1, flag::END_STREAM);
    wire.request(3, flag::END_STREAM);
    wire.request(5, 0);
    wire.reply(1, 20);
    wire.server.end_of_input(wire.now);
    wire.events();
    assert_eq!(wire.lost, [(1, Cut::Ended)]);
    // Also a reply that is ready only later.
    wire.reply(3, 20);
    wire.events();
    assert_eq!(wire.lost, [(1, Cut::Ended), (3, Cut::Ended)]);
    wire.reply(5, 5);
    wire.events();
    assert!(wire.server.is_done());
}

#[test]
fn a_message_that_trailers_ended_gets_no_turn_and_is_not_lost() {
    for is_at_end in [false, true] {
        for window in [0, 10] {
            let mut wire = Wire::new();
            wire.windows(window);
            wire.request(1, flag::END_STREAM);
            if is_at_end {
                wire.server.end_of_input(wire.now);
                wire.events();
            }
            let none = HeaderMap::new();
            wire.server
                .put_head(1, StatusCode::OK, &none, None, None, false);
            wire.server.want(1, wire.now);
            wire.server.put_trailers(1, &none);
            assert_eq!(wire.server.turn(), None, "{is_at_end} {window}");
            wire.events();
            assert_eq!(wire.lost, []);
            assert_eq!(wire.server.streams(), 0);
        }
    }
}

#[test]
fn several_window_changes_in_one_frame_are_applied_as_one() {
    let mut wire = Wire::new();
    wire.request(1, flag::END_STREAM);
    let mut changes = vec![(setting::INITIAL_WINDOW_SIZE, 0); 2000];
    changes.push((setting::INITIAL_WINDOW_SIZE, 5));
    let mut bytes = Vec::new();
    frame::put_settings(&mut bytes, &changes);
    wire.send(&bytes);
    wire.reply(1, 100);
    let sent: Vec<_> = wire
        .frames()
        .into_iter()
        .filter(|(kind, ..)| *kind == kind::DATA)
        .collect();
    assert_eq!(sent, [(kind::DATA, 1, vec![7; 5])]);
}

#[test]
fn window_changes_of_many_streams_are_counted_as_a_flood() {
    let mut wire = Wire::new();
    for stream in (1..200).step_by(2) {
        wire.request(stream, flag::END_STREAM);
    }
    let mut frames = 0;
    while wire.failed.is_none() {
        wire.windows(frames % 2);
        frames += 1;
        assert!(frames < 400, "{frames} changes of 100 windows");
    }
    assert_eq!(wire.failed.unwrap().code, code::ENHANCE_YOUR_CALM);
}

#[test]
fn streams_that_wait_for_more_urgent_ones_are_not_stalled_while_the_connection_makes_progress() {
    let span = limits().span;
    let enough = limits().rate_min * span.as_secs() as u32;
    // Bytes that the connection's window is opened by, six times in a span; is that enough?
    for (step, moves) in [(16_384, true), (enough / 6 + 1, true), (enough / 12, false)] {
        let mut wire = Wire::new();
        wire.windows(frame::WINDOW_MAX);
        for (id, priority) in [(1, "u=0"), (3, "u=7")] {
            let mut fields = HeaderMap::new();
            fields.insert("priority", priority.parse().unwrap());
            wire.request_with(id, flag::END_STREAM, &fields);
            wire.reply(id, 10_000_000);
        }
        wire.flush();
        let began = wire.now;
        while wire.lost.is_empty() && wire.now < began + 5 * span {
            wire.now += span / 6;
            let mut bytes = Vec::new();
            frame::put_window_update(&mut bytes, 0, step);
            wire.send(&bytes);
            pump(&mut wire.server, wire.now);
            wire.server.expire(wire.now);
            wire.events();
            wire.flush();
        }
        assert_eq!(wire.lost.is_empty(), moves, "{step}");
        assert!(wire.server.due().is_some_and(|due| due > wire.now) || !moves);
        // The window stays closed.
        let closed = wire.now;
        while wire.lost.len() < 2 {
            wire.now = wire.server.due().unwrap_or(wire.now);
            wire.server.expire(wire.now);
            wire.events();
        }
        assert!(wire.now <= closed + span, "{step}");
    }
}
