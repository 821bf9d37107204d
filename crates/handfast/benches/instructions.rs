//! One kind of work, so many times, for an instrument that counts instructions: `bench/instructions`.
//!
//!     instructions handfast|rustls handshake|write|exchange COUNT
//!
//! `write` makes records of 64 KiB, `exchange` also carries and reads them.

mod ends;

use self::ends::{PIECE, bare, carry, ends, ours, read_bare, read_ours, write_bare, write_ours};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [who, what, count] = &arguments[..] else {
        // `cargo bench` runs everything there is, with arguments of its own.
        println!("instructions: run by bench/instructions");
        return;
    };
    let count: usize = count.parse().expect("COUNT is a number");
    let ends = ends();
    let piece = vec![0x5a; PIECE];
    let mut sink = vec![0; PIECE];
    match (who.as_str(), what.as_str()) {
        ("handfast", "handshake") => (0..count).for_each(|_| drop(ours(&ends))),
        ("rustls", "handshake") => (0..count).for_each(|_| drop(bare(&ends))),
        ("handfast", _) => {
            let (mut client, mut server) = ours(&ends);
            for _ in 0..count {
                write_ours(&mut server, &piece);
                if what == "write" {
                    let made = server.outgoing().len();
                    server.sent(made);
                } else {
                    carry(&mut server, &mut client);
                    assert_eq!(read_ours(&mut client, &mut sink), PIECE);
                }
            }
        }
        _ => {
            let (mut client, mut server) = bare(&ends);
            server.set_buffer_limit(None);
            let mut wire = Vec::with_capacity(2 * PIECE);
            for _ in 0..count {
                write_bare(&mut server, &piece, &mut wire);
                if what != "write" {
                    assert_eq!(read_bare(&mut client, &wire, &mut sink), PIECE);
                }
            }
        }
    }
}
