//! What a well-behaved client gets: bodies, windows, turns, stops, and what handlers and the log are told.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use handfast_https::server::{AbortReason, Body, ConnectionInfo, Request, Response, TransferEnd};
use handfast_testbed::launch::Program;
use tokio::sync::Semaphore;

use super::client::*;
use super::server_common::{Fixture, Setup};

#[test]
fn many_requests_and_bodies_on_one_connection() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&get(1, "/"));
    assert_eq!(client.reply(1), Ok((OK, vec![])));
    // A body in pieces, padded, with trailer fields behind it, beside another request.
    client.send(&post(3, "/", &[("content-length", "6")]));
    client.send(&frame(DATA, 0, 3, b"abc"));
    client.send(&get(5, "/ignore"));
    assert_eq!(client.reply(5), Ok((OK, b"ignored".to_vec())));
    client.send(&frame(DATA, 8, 3, b"\x05def\0\0\0\0\0"));
    client.send(&frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        3,
        &literal("x-sum", "1"),
    ));
    assert_eq!(client.reply(3), Ok((OK, b"abcdef".to_vec())));
    // A head in pieces, with a priority that is ignored.
    let whole = [
        b"\x00\x00\x00\x00\x10".to_vec(),
        block(GET, "/cookie", &[("cookie", "a=b"), ("cookie", "c=d")]),
    ]
    .concat();
    let (front, back) = whole.split_at(9);
    client.send(&frame(HEADERS, END_STREAM | 0x20, 7, front));
    client.send(&frame(CONTINUATION, END_HEADERS, 7, back));
    assert_eq!(client.reply(7), Ok((OK, b"a=b; c=d".to_vec())));
    client.send(&frame(PING, 0, 0, b"12345678"));
    let answer = client.next_of(PING);
    assert_eq!((answer.flags, &answer.payload[..]), (ACK, &b"12345678"[..]));
}

/// However many requests arrive in one record, another client's request that is there already is answered before the most
/// of them.
#[test]
fn a_client_that_asks_much_at_once_gives_way_to_others() {
    const MANY: usize = 400;
    let (begun, first) = mpsc::channel();
    let (go_on, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let mut setup = Setup {
        threads: 1,
        ..Setup::default()
    };
    setup.limits.streams_max = MANY as u32;
    let server = Fixture::start(setup, move |_| {
        move |request: Request, _: Arc<ConnectionInfo>| {
            let other = request.uri().path() == "/other";
            let mut seen = seen.lock().unwrap();
            if seen.is_empty() {
                // The server's only thread waits until the other's request is there.
                begun.send(()).unwrap();
                gate.lock().unwrap().recv().unwrap();
            }
            seen.push(other);
            async { Response::new(Body::from("answer")) }
        }
    });
    let mut busy = Client::new(&server);
    let mut other = Client::new(&server);
    other.send(&frame(PING, 0, 0, b"are you?"));
    other.next_of(PING);
    let burst: Vec<u8> = (0..MANY as u32).flat_map(|n| get(1 + 2 * n, "/")).collect();
    assert!(burst.len() < 16 * 1024, "{}", burst.len());
    busy.send(&burst);
    first.recv().unwrap();
    other.send(&get(1, "/other"));
    go_on.send(()).unwrap();
    assert_eq!(other.reply(1), Ok((OK, b"answer".to_vec())));
    let order = order.lock().unwrap();
    let before = order.iter().position(|other| *other).unwrap();
    assert!(before < MANY / 2, "after {before} others");
}

/// A request and its reset that arrive together cost no handler, and are told all the same; what comes with them is served.
#[test]
fn what_is_reset_as_it_arrives_reaches_no_handler() {
    const MANY: u32 = 300;
    let reached = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&reached);
    let server = Fixture::start(Setup::default(), move |_| {
        move |request: Request, _: Arc<ConnectionInfo>| {
            noted.lock().unwrap().push(request.uri().path().to_owned());
            async { Response::new(Body::from("answer")) }
        }
    });
    let mut client = Client::new(&server);
    let requested_and_reset = |number: u32| {
        let stream = 1 + 2 * number;
        let cancel = frame(RST_STREAM, 0, stream, &8u32.to_be_bytes());
        [get(stream, "/reset"), cancel].concat()
    };
    let mut burst: Vec<u8> = (0..MANY).flat_map(requested_and_reset).collect();
    burst.extend(get(1 + 2 * MANY, "/wanted"));
    assert!(burst.len() < 16 * 1024, "{}", burst.len());
    client.send(&burst);
    let answer = Ok((OK, b"answer".to_vec()));
    assert_eq!(client.reply(1 + 2 * MANY), answer);
    assert_eq!(*reached.lock().unwrap(), ["/wanted"]);
    let events = server
        .witness
        .wait("all", |events| events.requests.len() > MANY as usize);
    let reset = events.requests.iter().filter(|seen| seen.status.is_none());
    assert_eq!(reset.count(), MANY as usize);
    for seen in &events.requests {
        let expected = seen.status.is_none().then_some(AbortReason::Reset(8));
        assert_eq!(seen.abort, expected);
    }
}

#[test]
fn a_reply_keeps_within_the_clients_window() {
    let server = echo(Setup::default());
    let mut client = Client::silent(&server);
    // Windows of 10,000 for streams; the connection's stays at 65,535.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0x27, 0x10]);
    client.send(&[PREFACE, &settings, &get(1, "/large")].concat());
    let mut received = 0;
    while received < 10_000 {
        let data = client.next_of(DATA);
        received += data.payload.len();
        assert_eq!(data.flags & END_STREAM, 0);
    }
    assert_eq!(received, 10_000);
    // Only what answers the PING may come now.
    client.send(&frame(PING, 0, 0, b"anymore?"));
    assert_eq!(client.next().unwrap().kind, PING);
    // A larger window for the stream: then the connection's is the limit.
    client.send(&frame(WINDOW_UPDATE, 0, 1, &(1u32 << 21).to_be_bytes()));
    while received < 65_535 {
        received += client.next_of(DATA).payload.len();
    }
    assert_eq!(received, 65_535);
    client.send(&frame(PING, 0, 0, b"anymore?"));
    assert_eq!(client.next().unwrap().kind, PING);
    client.send(&frame(WINDOW_UPDATE, 0, 0, &(1u32 << 21).to_be_bytes()));
    let (_, rest) = client.reply(1).unwrap();
    assert_eq!(received + rest.len(), 1 << 20);
}

#[test]
fn streams_take_turns() {
    let server = echo(Setup::default());
    let mut client = Client::silent(&server);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    let window = frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes());
    client.send(
        &[
            PREFACE,
            &settings,
            &window,
            &get(1, "/large"),
            &get(3, "/large"),
        ]
        .concat(),
    );
    // Neither has to wait for the other's end.
    let mut order = Vec::new();
    while order.len() < 20 {
        order.push(client.next_of(DATA).stream);
    }
    let of_second = order.iter().filter(|stream| **stream == 3).count();
    assert!((8..=12).contains(&of_second), "{order:?}");
}

#[test]
fn the_interim_response_100_is_sent_when_the_body_is_read() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(
        1,
        "/",
        &[("expect", "100-continue"), ("content-length", "3")],
    ));
    let interim = client.next_of(HEADERS);
    assert!(interim.payload.ends_with(b"\x08\x03100"), "{interim:?}");
    assert_eq!(interim.flags & END_STREAM, 0);
    client.send(&frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(client.reply(1), Ok((OK, b"abc".to_vec())));
    // A handler that does not read it sends none.
    client.send(&post(
        3,
        "/ignore",
        &[("expect", "100-continue"), ("content-length", "3")],
    ));
    assert_eq!(client.reply(3), Ok((OK, b"ignored".to_vec())));
    assert_eq!(client.next_of(RST_STREAM).u32_at(0), 0);
}

#[test]
fn an_unread_body_takes_nothing_from_the_reply() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(1, "/ignore", &[]));
    client.send(&frame(DATA, 0, 1, &[b'x'; 16_000]));
    assert_eq!(client.reply(1), Ok((OK, b"ignored".to_vec())));
    // It is read for a while, then the stream is ended without an error.
    assert_eq!(client.next_of(RST_STREAM).u32_at(0), 0);
    client.send(&get(3, "/"));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    // The window of the connection has not shrunk by it: more than all of it can be sent.
    let mut left = 5 << 20;
    let mut stream = 5;
    while left > 0 {
        let piece = [b'y'; 16_384];
        client.send(&post(stream, "/", &[]));
        for last in [false, false, true] {
            client.send(&frame(DATA, u8::from(last), stream, &piece));
            left -= piece.len().min(left);
        }
        let (status, body) = client.reply(stream).unwrap();
        assert_eq!((status, body.len()), (OK, 49_152));
        stream += 2;
        // Our own window for the replies.
        client.send(&frame(WINDOW_UPDATE, 0, 0, &49_152u32.to_be_bytes()));
    }
}

/// Bodies that a handler has read elsewhere give their window back, whatever else happens on the connection.
#[test]
fn uploads_that_are_read_by_another_task_all_finish() {
    const UPLOADS: u32 = 85;
    const PIECE: &[u8] = &[b'y'; 16_384];
    let reading = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (handle, gate) = (reading.handle().clone(), Arc::new(Semaphore::new(0)));
    let (began, beginnings) = mpsc::channel();
    let shut = Arc::clone(&gate);
    let server = Fixture::start(Setup::default(), move |_| {
        move |request: Request, _: Arc<ConnectionInfo>| {
            let (began, shut) = (began.clone(), Arc::clone(&shut));
            let mut body = request.into_body();
            let read = handle.spawn(async move {
                let first = body.next().await.unwrap().unwrap();
                began.send(()).unwrap();
                drop(shut.acquire().await.unwrap());
                let rest = body.read_to_end(1 << 20).await.unwrap();
                (first.len() + rest.len()).to_string()
            });
            async { Response::new(Body::from(read.await.unwrap())) }
        }
    });
    let mut client = Client::new(&server);
    let streams = || (0..UPLOADS).map(|n| 1 + 2 * n);
    for stream in streams() {
        client.send(&post(stream, "/", &[]));
        client.send(&frame(DATA, 0, stream, b"1"));
    }
    for _ in 0..UPLOADS {
        beginnings.recv().unwrap();
    }
    client.send(&frame(PING, 0, 0, b"all seen"));
    client.next_of(PING);
    // Nearly all of the connection's window: 4 MiB, and what was taken before.
    let piece = |stream, last| frame(DATA, u8::from(last), stream, PIECE);
    for stream in streams() {
        client.send(
            &[
                piece(stream, false),
                piece(stream, false),
                piece(stream, false),
            ]
            .concat(),
        );
    }
    client.send(&frame(PING, 0, 0, b"all seen"));
    client.next_of(PING);
    gate.add_permits(1);
    let mut window = 0;
    let mut replies = 0;
    let mut waiting = streams();
    while replies < UPLOADS {
        let frame = client.next().unwrap();
        match frame.kind {
            WINDOW_UPDATE if frame.stream == 0 => window += frame.u32_at(0) as usize,
            DATA => {
                assert_eq!(frame.payload, (1 + 4 * PIECE.len()).to_string().as_bytes());
                replies += 1;
            }
            other => assert!(matches!(other, HEADERS | WINDOW_UPDATE), "{frame:?}"),
        }
        while window >= PIECE.len()
            && let Some(stream) = waiting.next()
        {
            client.send(&piece(stream, true));
            window -= PIECE.len();
        }
    }
}

#[test]
fn a_stop_announces_itself_and_lets_replies_finish() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(1, "/", &[]));
    client.send(&frame(PING, 0, 0, &[7; 8]));
    client.next_of(PING);
    server.running().shutdown(Duration::from_secs(20));
    assert_eq!(client.next_of(GOAWAY).u32_at(0), 0x7fff_ffff);
    let ping = client.next_of(PING);
    // A request that crossed the announcement is answered.
    client.send(&get(3, "/"));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    client.send(&frame(PING, ACK, 0, &ping.payload));
    assert_eq!(client.next_of(GOAWAY).u32_at(0), 3);
    client.send(&frame(DATA, END_STREAM, 1, b"last"));
    assert_eq!(client.reply(1), Ok((OK, b"last".to_vec())));
    assert_eq!(client.next(), None);
}

#[test]
fn a_reply_is_complete_only_when_it_was_sent() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&get(1, "/large"));
    client.next_of(DATA);
    // Gone in the middle of it.
    client.send(&frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
    client.send(&get(3, "/"));
    assert_eq!(client.reply(3), Ok((OK, vec![])));
    let events = server
        .witness
        .wait("both", |events| events.requests.len() == 2);
    assert_eq!(events.requests[0].end, TransferEnd::Aborted);
    assert_eq!(events.requests[1].end, TransferEnd::Complete);
}

#[test]
fn a_body_that_is_cut_is_told_to_its_handler() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    client.send(&post(1, "/", &[]));
    client.send(&frame(DATA, 0, 1, b"abc"));
    client.0.finish().unwrap();
    let (status, text) = client.reply(1).unwrap();
    assert_eq!(status, 0x8c, "400");
    assert!(
        String::from_utf8(text)
            .unwrap()
            .contains("ended the connection")
    );
}

#[test]
fn curl_is_served_forty_streams_at_once() {
    let server = Fixture::shelf();
    server.put("a", vec![b'a'; 100_000]);
    let Some(curl) = Program::new("curl") else {
        return;
    };
    // curl speaks it by nghttp2: many at once on one connection.
    let urls: Vec<String> = (0..40).map(|n| server.url(&format!("/a?{n}"))).collect();
    let finished = curl
        .args(["-sS", "--http2", "--parallel", "--parallel-max", "40"])
        .args(["--cacert", &server.ca_file.display().to_string()])
        .args(["-w", "%{http_version} %{size_download}\n"])
        .args(
            urls.iter()
                .flat_map(|url| ["-o", "/dev/null", url.as_str()]),
        )
        .run();
    assert!(finished.succeeded(), "{finished}");
    let told = String::from_utf8_lossy(&finished.stdout);
    assert_eq!(
        told.lines().filter(|line| *line == "2 100000").count(),
        40,
        "{told}"
    );
}

#[test]
fn the_trailer_fields_of_a_request_can_be_read() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    let sum = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &literal("x-sum", "12"),
    );
    client.send(&[post(1, "/trailers", &[]), frame(DATA, 0, 1, b"abc "), sum].concat());
    assert_eq!(client.reply(1), Ok((OK, b"abc 12".to_vec())));
    client.send(
        &[
            post(3, "/trailers", &[]),
            frame(DATA, END_STREAM, 3, b"abc "),
        ]
        .concat(),
    );
    assert_eq!(client.reply(3), Ok((OK, b"abc none".to_vec())));
    // A handler that does not read its body is not kept waiting for them.
    let sum = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        5,
        &literal("x-sum", "12"),
    );
    client.send(&[post(5, "/ignore", &[]), frame(DATA, 0, 5, b"abc "), sum].concat());
    assert_eq!(client.reply(5), Ok((OK, b"ignored".to_vec())));
}

#[test]
fn what_a_handler_says_of_a_connection_of_http1_is_left_out() {
    let server = Fixture::start(Setup::default(), |_| {
        |_: Request, _: Arc<ConnectionInfo>| async move {
            let mut response = Response::new(Body::from("whole"));
            for (name, value) in [
                ("connection", "keep-alive"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("x-kept", "1"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    });
    let mut client = Client::new(&server);
    client.send(&get(1, "/"));
    let head = client.next_of(HEADERS).payload;
    let has = |text: &str| head.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("x-kept"));
    for value in ["keep-alive", "timeout=5", "chunked", "h2c"] {
        assert!(!has(value), "{value}: {}", head.escape_ascii());
    }
    assert_eq!(client.next_of(DATA).payload, b"whole");
}

/// With a body, or the end of one, a client would take what follows for something else.
#[test]
fn responses_that_have_no_body_are_sent_without_one() {
    let server = Fixture::start(Setup::default(), |_| {
        |request: Request, _: Arc<ConnectionInfo>| async move {
            let path = request.uri().path().to_owned();
            let (status, kind) = path[1..].split_once('/').unwrap();
            let mut response = Response::new(match kind {
                "whole" => Body::from("body"),
                _ => Body::new(request.into_body()),
            });
            *response.status_mut() = status.parse().unwrap();
            response.headers_mut().insert("content-length", 4.into());
            response
        }
    });
    // By status: what HTTP/1.1 says of the length, and whether there is a body.
    for (status, length, has_body) in [
        (204, None, false),
        (205, Some("0"), false),
        (304, Some("4"), false),
        (200, Some("4"), true),
    ] {
        for kind in ["whole", "streamed"] {
            let path = format!("/{status}/{kind}");
            let mut client = Client::new(&server);
            client.send(&post(1, &path, &[]));
            client.send(&frame(DATA, END_STREAM, 1, b"body"));
            let head = client.next_of(HEADERS);
            assert_eq!(head.flags & END_STREAM != 0, !has_body, "{path}");
            if has_body {
                assert_eq!(client.next_of(DATA).payload, b"body", "{path}");
            }
            client.send(&get(3, &format!("/{status}/whole")));
            assert_eq!(client.next_of(HEADERS).stream, 3, "{path}");
            let reply = server.ask(&format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody"
            ));
            assert_eq!(
                (reply.status, reply.field("content-length")),
                (status, length)
            );
            assert_eq!(reply.body, if has_body { &b"body"[..] } else { b"" });
        }
    }
    let interim = server.get("/103/whole");
    assert_eq!(interim.status, 500);
    server.wait_idle();
    for request in server.witness.events().requests {
        assert_eq!(request.end, TransferEnd::Complete, "{request:?}");
    }
}

/// The client opens no window beyond those that it begins with: the end of a body needs none.
#[test]
fn a_reply_ends_also_when_the_window_is_used_up() {
    // What it is sent comes back while it comes, trailer fields included.
    let server = Fixture::start(Setup::default(), |_| {
        |request: Request, _: Arc<ConnectionInfo>| async move {
            Response::new(Body::new(request.into_body()))
        }
    });
    let sum = |stream| {
        let block = literal("x-sum", "12");
        frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
    };
    let pieces = |stream| -> Vec<u8> {
        let piece = frame(DATA, 0, stream, &[b'x'; 13_107]);
        piece.repeat(65_535 / 13_107)
    };
    let empty = |stream| frame(DATA, END_STREAM, stream, b"");
    for (end, is_late) in [
        (sum(1), false),
        (sum(1), true),
        (empty(1), false),
        (empty(1), true),
    ] {
        let mut client = Client::new(&server);
        client.send(&[post(1, "/", &[]), pieces(1)].concat());
        if !is_late {
            client.send(&end);
        }
        let mut received = 0;
        let last = loop {
            let frame = client.next().unwrap();
            if frame.stream != 1 {
                continue;
            }
            if frame.kind == DATA {
                received += frame.payload.len();
            }
            if frame.flags & END_STREAM != 0 {
                break frame;
            }
            if is_late && received == 65_535 {
                client.send(&end);
            }
        };
        assert_eq!(received, 65_535);
        match end[3] {
            HEADERS => assert_eq!((last.kind, last.payload), (HEADERS, literal("x-sum", "12"))),
            _ => assert_eq!(last.kind, DATA),
        }
    }
    // Nothing but trailer fields, to a client that allows no data at all.
    let mut client = Client::silent(&server);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    client.send(&[PREFACE, &settings, &post(1, "/", &[]), &sum(1)].concat());
    let (mut last, mut heads) = (client.next().unwrap(), 0);
    while last.flags & END_STREAM == 0 || last.stream != 1 {
        heads += u32::from(last.kind == HEADERS);
        last = client.next().unwrap();
    }
    assert_eq!((last.kind, heads), (HEADERS, 1));
    let events = server
        .witness
        .wait("all requests", |events| events.requests.len() == 5);
    for request in &events.requests {
        assert_eq!(request.end, TransferEnd::Complete, "{request:?}");
    }
}

#[test]
fn an_urgent_reply_overtakes_others_on_the_wire() {
    let server = echo(Setup::default());
    let mut client = Client::new(&server);
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0x20, 0, 0]);
    let window = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 22).to_be_bytes());
    let request = |stream, priority| {
        let block = block(GET, "/large", &[("priority", priority)]);
        frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
    };
    let requests = [request(1, "u=6"), request(3, "u=6"), request(5, "u=0")];
    client.send(&[settings, window, requests.concat()].concat());
    let mut ended = Vec::new();
    while ended.len() < 3 {
        let frame = client.next_of(DATA);
        if frame.flags & END_STREAM != 0 {
            ended.push(frame.stream);
        }
    }
    assert_eq!(ended, [5, 1, 3]);
}
