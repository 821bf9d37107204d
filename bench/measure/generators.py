"""The generators compared with each other: how much load for a second of their own processor time."""

import subprocess

from . import drive, system
from .drive import DoesNotFit
from .peers import HANDFAST, short_version


class Generator:
    def __init__(self, name, binary, version_flag, http1=None, http2=None, handshakes=None):
        self.name, self.binary, self.version_flag = name, binary, version_flag
        self.runs = {"http1": http1, "http2": http2, "handshakes": handshakes}

    def available(self):
        return bool(system.which(self.binary))

    def version(self):
        done = subprocess.run([self.binary, self.version_flag], capture_output=True, text=True, timeout=10)
        return short_version((done.stdout + done.stderr).strip().splitlines()[0])


def of(kind):
    def measure(generator, server, options):
        run = generator.runs[kind]
        if run is None:
            raise DoesNotFit("has no way to")
        seen = run(server, options)
        return {**seen, "cpu_us": seen["load_cpu"] / seen["count"] * 1e6}

    return measure


http1, http2, handshakes = of("http1"), of("http2"), of("handshakes")

GENERATORS = [
    Generator(
        "handfast bench", str(HANDFAST), "--version",
        http1=lambda server, o: drive.handfast_run(server, "/4k.bin", o.seconds, 32, ["--http1.1"]),
        http2=lambda server, o: drive.handfast_run(server, "/4k.bin", o.seconds, 32, ["--http2", "--streams", "16"]),
        # As the others do it: with X25519, and without verifying the server.
        handshakes=lambda server, o: drive.handfast_run(
            server, "/4k.bin", o.seconds, 16,
            ["--http1.1", "--handshake", "full", "--groups", "x25519", "--insecure"], trust=False),
    ),
    Generator(
        "wrk", "wrk", "-v",
        http1=lambda server, o: drive.wrk_run(server, "/4k.bin", o.seconds, 32),
        handshakes=lambda server, o: drive.wrk_run(server, "/4k.bin", o.seconds, 16, ["-H", "Connection: close"]),
    ),
    Generator(
        "h2load", "h2load", "--version",
        http1=lambda server, o: drive.h2load_run(server, "/4k.bin", o.seconds, 32, 1, ["--h1"], latencies=False),
        http2=lambda server, o: drive.h2load_run(server, "/4k.bin", o.seconds, 32, 16, latencies=False),
    ),
    Generator(
        "oha", "oha", "--version",
        http1=lambda server, o: drive.oha_run(server, "/4k.bin", o.seconds, 32),
        http2=lambda server, o: drive.oha_run(server, "/4k.bin", o.seconds, 32, ["--http2", "-p", "16"]),
        handshakes=lambda server, o: drive.oha_run(server, "/4k.bin", o.seconds, 16, ["--disable-keepalive"]),
    ),
]
