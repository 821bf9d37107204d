"""What is measured, in groups: name -> what is counted, how, on what."""

from . import clients, drive, generators


class Workload:
    def __init__(self, what, unit, measure, certificate="ecdsa", runs=None, tickets=True,
                 quick=True, access_log=False):
        self.what, self.unit, self.measure, self.certificate = what, unit, measure, certificate
        # `access_log`: each server writes one, combined, to a file.
        self.access_log = access_log
        # `runs`: no more than so many, where one run takes long and varies little.
        # `quick`: is it part of a quick look?
        self.runs, self.tickets, self.quick = runs, tickets, quick


SERVERS = {
    "handshake-tls13": Workload("full handshake (TLS 1.3, X25519, ECDSA P-256) + 4 KiB + close; 8 x openssl s_time",
                                "connection", drive.s_time("-new", "-tls1_3", at_once=8, version="tls13")),
    "handshake-tls12": Workload("full handshake (TLS 1.2, X25519, ECDSA P-256) + 4 KiB + close; 8 x openssl s_time",
                                "connection", drive.s_time("-new", "-tls1_2", at_once=8, version="tls12")),
    "handshake-tls13-rsa": Workload("full handshake (TLS 1.3, X25519, RSA-2048) + 4 KiB + close; 8 x openssl s_time",
                                    "connection", drive.s_time("-new", "-tls1_3", at_once=8, version="tls13"),
                                    certificate="rsa"),
    "handshake-tls12-rsa": Workload("full handshake (TLS 1.2, X25519, RSA-2048) + 4 KiB + close; 8 x openssl s_time",
                                    "connection", drive.s_time("-new", "-tls1_2", at_once=8, version="tls12"),
                                    certificate="rsa", quick=False),
    "handshake-mlkem": Workload("full handshake (TLS 1.3, X25519MLKEM768, ECDSA P-256) + 4 KiB + close; handfast bench",
                                "connection",
                                drive.handfast("/4k.bin", 16, "--http1.1", "--handshake", "full", "--groups",
                                               "X25519MLKEM768", hybrid=True)),
    "resumed-tls13": Workload("resumed handshake (TLS 1.3) + 4 KiB + close; 8 x openssl s_time", "connection",
                              drive.s_time("-reuse", "-tls1_3", at_once=8)),
    "resumed-tls12": Workload("resumed handshake (TLS 1.2) + 4 KiB + close; 8 x openssl s_time", "connection",
                              drive.s_time("-reuse", "-tls1_2", at_once=8),
                              quick=False),
    "http1-4k": Workload("HTTP/1.1, 4 KiB, 32 connections kept; wrk", "request", drive.wrk("/4k.bin", 32)),
    "http1-4k-log": Workload("HTTP/1.1, 4 KiB, 32 connections kept, access log on; wrk", "request",
                             drive.wrk("/4k.bin", 32), access_log=True),
    "http1-64k": Workload("HTTP/1.1, 64 KiB, 32 connections kept; wrk", "request",
                          drive.wrk("/64k.bin", 32, needs="files")),
    "http2-4k-1": Workload("HTTP/2, 4 KiB, 32 connections x 1 stream; h2load", "request",
                           drive.h2load("/4k.bin", 32, 1), quick=False),
    "http2-4k-16": Workload("HTTP/2, 4 KiB, 32 connections x 16 streams; h2load", "request",
                            drive.h2load("/4k.bin", 32, 16)),
    "http2-4k-16-log": Workload("HTTP/2, 4 KiB, 32 connections x 16 streams, access log on; h2load", "request",
                                drive.h2load("/4k.bin", 32, 16), access_log=True),
    "http2-4k-100": Workload("HTTP/2, 4 KiB, 8 connections x 100 streams; h2load", "request",
                             drive.h2load("/4k.bin", 8, 100)),
    "bulk-http1": Workload("1 GiB in one stream, HTTP/1.1; curl", "GiB", drive.bulk("--http1.1", 1)),
    "bulk-http2": Workload("1 GiB in one stream, HTTP/2; curl", "GiB", drive.bulk("--http2", 1)),
    "bulk-http1-8": Workload("1 GiB 8 times at once, HTTP/1.1; 8 curls", "GiB", drive.bulk("--http1.1", 8), runs=1,
                             quick=False),
    "bulk-http2-8": Workload("1 GiB 8 times at once, HTTP/2; 8 curls", "GiB", drive.bulk("--http2", 8), runs=1,
                             quick=False),
    "mixed-files": Workload("10,000 files of 1 to 64 KiB in turn, HTTP/1.1, 32 connections; wrk", "request",
                            drive.wrk("/", 32, "-s", lambda options: str(options.place.mixed), needs="files"),
                            quick=False),
    "first-time": Workload("10,000 files of 1 to 64 KiB, each asked for once, HTTP/1.1, one connection; curl", "request",
                           drive.first_time(), quick=False),
    "gzip-one": Workload("64 KiB of JSON with gzip, one file, HTTP/1.1, 32 connections; wrk", "request",
                         drive.compressed("/texts/0000.json"), quick=False),
    "gzip-many": Workload("64 KiB of JSON with gzip, 2,000 files in turn, HTTP/1.1, 32 connections; wrk", "request",
                          drive.compressed("/", "-s", lambda options: str(options.place.mixed_texts)), quick=False),
    "listing": Workload("listing of a directory of 10,000 entries, one after the other; curl", "listing",
                        drive.listing(20), runs=2),
    "idle-1000": Workload("memory for each of 1,000 connections kept after a request", "connection",
                          drive.idle(lambda options: 1000), runs=2),
    "idle-10000": Workload("memory for each of 10,000 connections kept after a request", "connection",
                           drive.idle(lambda options: 10_000), runs=1, quick=False),
}

CLIENTS = {
    "cold-start": Workload("a process fetches 4 KiB, trusting a file with one authority", "start",
                           clients.cold_start(platform=False)),
    "cold-start-platform": Workload("a process fetches 4 KiB, trusting the platform's authorities (about 140)",
                                    "start", clients.cold_start(platform=True)),
    "download-http1": Workload("1 GiB to /dev/null, HTTP/1.1", "GiB", clients.download(1, to_file=False)),
    "download-http2": Workload("1 GiB to /dev/null, HTTP/2", "GiB", clients.download(2, to_file=False)),
    "download-http1-file": Workload("1 GiB to a file, HTTP/1.1", "GiB", clients.download(1, to_file=True),
                                    quick=False),
    "download-http2-file": Workload("1 GiB to a file, HTTP/2", "GiB", clients.download(2, to_file=True), quick=False),
    "small-kept": Workload("1,000 fetches of 4 KiB over one connection, HTTP/1.1", "fetch", clients.small(kept=True)),
    "small-kept-http2": Workload("1,000 fetches of 4 KiB over one connection, HTTP/2", "fetch",
                                 clients.small(kept=True, http=2), quick=False),
    "small-full": Workload("1,000 fetches of 4 KiB, each over its own connection, full handshakes", "fetch",
                           clients.small(kept=False), tickets=False),
    "small-resumed": Workload("1,000 fetches of 4 KiB, each over its own connection, sessions resumed", "fetch",
                              clients.small(kept=False, resumed=True)),
}

GENERATORS = {
    "load-http1": Workload("HTTP/1.1, 4 KiB, 32 connections kept", "request", generators.http1),
    "load-http2": Workload("HTTP/2, 4 KiB, 32 connections x 16 streams", "request", generators.http2),
    "load-handshakes": Workload("full handshake + 4 KiB + close, 16 at once", "connection", generators.handshakes,
                                tickets=False),
}

GROUPS = {"servers": SERVERS, "clients": CLIENTS, "generators": GENERATORS}
