//! What the library costs over bare rustls, both ends in memory: handshakes, writing and reading.
//!
//!     cargo bench -p handfast --bench overhead

mod ends;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

use self::ends::{PIECE, bare, carry, ends, ours, read_bare, read_ours, write_bare, write_ours};

fn handshakes(criterion: &mut Criterion) {
    let ends = ends();
    let mut group = criterion.benchmark_group("full handshake, both ends");
    group.bench_function("handfast", |b| {
        b.iter_batched(|| (), |()| ours(&ends), BatchSize::SmallInput)
    });
    group.bench_function("rustls", |b| {
        b.iter_batched(|| (), |()| bare(&ends), BatchSize::SmallInput)
    });
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let ends = ends();
    let piece = vec![0x5a; PIECE];
    let mut sink = vec![0; PIECE];
    let mut group = criterion.benchmark_group("64 KiB written, carried and read");
    group.throughput(Throughput::Bytes(PIECE as u64));
    let (mut client, mut server) = ours(&ends);
    group.bench_function("handfast", |b| {
        b.iter(|| {
            write_ours(&mut server, &piece);
            carry(&mut server, &mut client);
            assert_eq!(read_ours(&mut client, &mut sink), PIECE);
        });
    });
    let (mut client, mut server) = bare(&ends);
    server.set_buffer_limit(None);
    let mut wire = Vec::with_capacity(2 * PIECE);
    group.bench_function("rustls", |b| {
        b.iter(|| {
            write_bare(&mut server, &piece, &mut wire);
            assert_eq!(read_bare(&mut client, &wire, &mut sink), PIECE);
        });
    });
    group.finish();
}

criterion_group!(benches, handshakes, records);
criterion_main!(benches);
