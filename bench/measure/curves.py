"""How cost grows with work: series of points, a line for each peer."""

from . import drive, system
from .drive import charged
from .place import GIB, MIB

PEERS = ("handfast", "nginx", "h2o")


class Curve:
    """`points` are x values; `measure(server, x, options)` gives y."""

    def __init__(self, name, title, x_label, y_label, points, measure):
        self.name, self.title, self.x_label, self.y_label = name, title, x_label, y_label
        self.points, self.measure = points, measure


def by_connections(server, count, options):
    """CPU per request when so many connections are kept and used in turn.

    Their handshakes cost more than the requests of a short run, so that a run without requests worth mentioning
    is taken off.
    """
    def run(requests):
        before = server.cpu()
        seen = drive.handfast_run(server, "/4k.bin", None, count, ["--http1.1", "-n", requests])
        return server.cpu() - before, seen["count"]

    few, many = count, count + options.curve_requests
    (cpu_few, done_few), (cpu_many, done_many) = run(few), run(many)
    return (cpu_many - cpu_few) / (done_many - done_few) * 1e6


def by_bytes(server, name_and_size, options):
    name, size = name_and_size
    if size <= 16 * MIB:
        seen = charged(server, drive.wrk_run, f"/{name}.bin", options.seconds, 4)
        return seen["cpu_us"] * 1e3 / size
    return drive.bulk("--http1.1", 1)(server, options)["cpu_us"] * 1e3 / GIB


def by_streams(server, streams, options):
    return charged(server, drive.h2load_run, "/4k.bin", options.seconds, 8, streams, latencies=False)["cpu_us"]


def sizes(options):
    every = [("1k", 1 << 10), ("4k", 4 << 10), ("16k", 16 << 10), ("64k", 64 << 10), ("256k", 256 << 10),
             ("1m", MIB), ("16m", 16 * MIB), ("big", options.place.big_bytes)]
    return every[::3] + every[-1:] if options.quick else every


def curves(options):
    return [
        Curve("connections", "CPU per request, by connections kept", "connections", "us of CPU per request of 4 KiB",
              [10, 1000] if options.quick else [10, 100, 1000, 10_000], by_connections),
        Curve("bytes", "CPU per byte, by size of the file", "bytes", "ns of CPU per byte", sizes(options), by_bytes),
        Curve("streams", "CPU per request, by HTTP/2 streams at once", "streams on each of 8 connections",
              "us of CPU per request of 4 KiB", [1, 10, 100] if options.quick else [1, 2, 4, 10, 30, 100], by_streams),
    ]


def x_of(point):
    return point[1] if isinstance(point, tuple) else point


# Cores. There are two, and whoever asks needs processor time, too. So the pair of server and generator runs once on
# one core and once on two, with a thread each in the one case and two threads each in the other: whatever the
# threads of a server share or wait for would make it less than twice as much.

CORE_JOBS = {
    "requests": lambda server, cores, threads, options: charged(
        server, drive.handfast_run, "/4k.bin", options.seconds, 64, ["--http1.1"], cores=cores, threads=threads),
    "handshakes": lambda server, cores, threads, options: charged(
        server, drive.handfast_run, "/4k.bin", options.seconds, 64,
        ["--http1.1", "--handshake", "full", "--groups", "x25519"], cores=cores, threads=threads),
}


def by_cores(peer, job, options):
    """Throughput and CPU per unit on one core and on two."""
    seen = []
    for cores, threads in ((str(system.SERVER_CORE), 1), (f"{system.SERVER_CORE},{system.LOAD_CORE}", 2)):
        with peer.start(options.place, options.place.ecdsa, threads=threads, cores=cores) as server:
            run = CORE_JOBS[job](server, cores, threads, options)
            seen.append({"per_s": run["per_s"], "cpu_us": run["cpu_us"]})
    return seen
