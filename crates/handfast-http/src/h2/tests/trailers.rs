//! Fields behind a body.

use super::*;

#[test]
fn trailer_fields_end_a_message_without_waiting_for_a_window() {
    let mut fields = HeaderMap::new();
    fields.insert("x-sum", "12".parse().unwrap());
    fields.append("x-sum", "34".parse().unwrap());
    let sent = fields.clone();
    for name in ["content-length", "set-cookie", "trailer", "keep-alive"] {
        fields.insert(name, "5".parse().unwrap());
    }
    let forbidden: HeaderMap = fields
        .clone()
        .into_iter()
        .filter_map(|(name, value)| Some((name?, value)))
        .filter(|(name, _)| name != "x-sum")
        .collect();
    // Without any that may be sent the message ends, too.
    for (fields, expected) in [(fields, Some(sent)), (forbidden, None)] {
        let mut pair = Pair::new(0);
        let none = HeaderMap::new();
        let id = pair.open(0);
        let mut rest = pair.client.output().as_slice();
        while pair.server.receive(&mut rest, pair.now).is_some() {}
        pair.server
            .put_head(id, StatusCode::OK, &none, None, None, false);
        pair.server.own(id).unwrap().to_send = usize::MAX;
        pair.server.want(id, pair.now);
        pump(&mut pair.server, pair.now);
        while !pair.server.output().is_empty() {
            let count = pair.server.output().len();
            let bytes = pair.server.output().as_slice().to_vec();
            pair.server.output().sent(count);
            pair.fetch(&bytes);
            pump(&mut pair.server, pair.now);
        }
        // The window is used up.
        assert_eq!(pair.server.turn(), None);
        pair.server.put_trailers(id, &fields);
        assert!(!pair.server.is_sending(id));
        pair.server.put_trailers(id, &fields);
        let bytes = pair.server.output().as_slice().to_vec();
        let mut rest = bytes.as_slice();
        let mut found = Vec::new();
        while let Some(event) = pair.client.receive(&mut rest, pair.now) {
            match event {
                Event::Trailers { stream, fields } => found.push((stream, Some(fields))),
                Event::Data { stream, end, .. } => found.extend(end.then_some((stream, None))),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(found, [(id, expected)]);
    }
}
