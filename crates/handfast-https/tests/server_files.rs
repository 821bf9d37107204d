//! Files over HTTPS, told by a client that sees every byte.

mod server_common;

use std::fs;

use handfast::Ending;
use server_common::Fixture;

#[test]
fn b1_a_file_arrives_with_its_type_and_validators() {
    let server = Fixture::files();
    server.put("hello.txt", "hello\n");
    let reply = server.get("/hello.txt");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.text(), "hello\n");
    assert_eq!(reply.field("content-length"), Some("6"));
    assert_eq!(
        reply.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(
        reply
            .field("last-modified")
            .is_some_and(|date| date.ends_with(" GMT"))
    );
    assert!(reply.field("etag").is_some_and(|tag| tag.starts_with('"')));
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
    assert_eq!(reply.ending, Ending::CloseNotify);
    let events = server
        .witness
        .wait("a request", |events| events.requests.len() == 1);
    assert_eq!(events.requests[0].line, "GET /hello.txt HTTP/1.1");
    let _ = fs::metadata(server.public()).unwrap();
}
