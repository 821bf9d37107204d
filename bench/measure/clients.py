"""The clients under test: what each is called with for each job.

The server is nginx where there is one, so that no client has its own other end. What is measured is the client's
processor time (user + system) and how long it took. New processes pay for their start, as they do in life.
"""

import statistics
import subprocess
import sys

from . import system
from .drive import DoesNotFit
from .peers import BENCH, HANDFAST, short_version
from .place import GIB

FETCH = BENCH / "measure" / "fetch.py"
SMALL = 1000


class Client:
    """A program: `command(job)` gives its arguments, or None where it has no way to do the job."""

    def __init__(self, name, binary, command):
        self.name, self.binary, self.command = name, binary, command

    def available(self):
        return bool(system.which(self.binary))

    def version(self):
        flag = "--version"
        done = subprocess.run([self.binary, flag], capture_output=True, text=True, timeout=10)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return short_version(lines[0]) if lines else "unknown version"


class Job:
    """What is to be fetched: `urls`, over `http` 1 or 2, trusting `ca`, into `output` or to /dev/null."""

    def __init__(self, urls, ca, http=1, output=None, kept=True, many=None, platform=False):
        self.urls, self.ca, self.http, self.output = urls, str(ca), http, str(output) if output else None
        # `many`: the same URLs as a pattern and as a list in a file, for those who take such.
        self.kept, self.many, self.platform = kept, many, platform
        self.env = {}


def at_once(job):
    """Over HTTP/2, several requests at once over one connection, as wget2 sends them unasked."""
    return ["-Z"] if job.http == 2 and len(job.urls) > 1 else []


def handfast(job):
    if job.platform:
        job.env = {"SSL_CERT_FILE": job.ca, "SSL_CERT_DIR": "/nonexistent"}
    trust = [] if job.platform else ["--cacert", job.ca]
    close = [] if job.kept else ["-H", "Connection: close"]
    output = ["-o", job.output] if job.output else []
    return [HANDFAST, "get", "--silent", "--show-error", "--http1.1" if job.http == 1 else "--http2",
            *at_once(job), *trust, *close, *output, *job.urls]


def curl(job):
    close = [] if job.kept else ["-H", "Connection: close"]
    urls = [job.many.pattern] if job.many else job.urls
    return ["curl", "-sS", "--http1.1" if job.http == 1 else "--http2", *at_once(job), "--cacert", job.ca, *close,
            "-o", job.output or "/dev/null", *urls]


def wget2(job):
    close = [] if job.kept else ["--header", "Connection: close"]
    urls = ["-i", job.many.file] if job.many else job.urls
    return ["wget2", "-q", "--no-config", "--max-threads=1", f"--ca-certificate={job.ca}",
            "--ca-directory=/nonexistent",
            *(["--no-http2"] if job.http == 1 else []), *close, "-O", job.output or "/dev/null", *urls]


def python(job):
    if job.http == 2:
        return None
    return [sys.executable, "-I", FETCH, job.ca, "kept" if job.kept else "new", job.output or "/dev/null",
            job.urls[0], len(job.urls)]


def xh(job):
    if len(job.urls) > 1:
        return None
    # Without an output it looks at /dev/null and reads no body.
    output = ["-o", job.output or "/dev/null"]
    return ["xh", "--ignore-stdin", f"--http-version={job.http if job.http == 2 else '1.1'}",
            f"--verify={job.ca}", *output, *job.urls]


CLIENTS = [
    Client("handfast get", str(HANDFAST), handfast),
    Client("curl", "curl", curl),
    Client("wget2", "wget2", wget2),
    Client("python", sys.executable, python),
    Client("xh", "xh", xh),
]


class Many:
    """1,000 URLs of one small file, in the ways in which clients take them."""

    def __init__(self, server, place):
        self.urls = [server.url(f"/4k.bin?{number}") for number in range(SMALL)]
        self.pattern = server.url(f"/4k.bin?[0-{SMALL - 1}]")
        self.file = place.dir / f"urls-{server.port}"
        self.file.write_text("\n".join(self.urls) + "\n")


def execute(client, job, timeout=120):
    command = client.command(job)
    if command is None:
        raise DoesNotFit("has no way to")
    with open("/dev/null", "wb") as null:
        done = system.run(command, env=job.env, timeout=timeout, stdout=null)
    if done.code != 0:
        raise RuntimeError(f"{client.name} ended with {done.code}: {done.out[-300:]}")
    return done


# Workloads. Each takes a client, a started server and the options of the whole measurement.


def cold_start(platform):
    """A process that fetches 4 KiB and ends."""
    def measure(client, server, options):
        ca = options.place.bundle if platform else server.certificate.ca
        walls, cpu = [], 0.0
        for _ in range(options.starts):
            done = execute(client, Job([server.url("/4k.bin")], ca, platform=platform))
            walls.append(done.wall * 1e3)
            cpu += done.cpu
        walls.sort()
        return {"cpu_us": cpu / len(walls) * 1e6, "per_s": 1e3 / statistics.mean(walls),
                "p50_ms": statistics.median(walls), "p99_ms": walls[-1], "memory": done.memory}

    return measure


def download(http, to_file):
    def measure(client, server, options):
        output = options.place.dir / "download" if to_file else None
        try:
            done = execute(client, Job([server.url("/big.bin")], server.certificate.ca, http=http, output=output))
            if output and output.stat().st_size != options.place.big_bytes:
                raise RuntimeError(f"{output.stat().st_size} bytes arrived")
        finally:
            if output:
                output.unlink(missing_ok=True)
        size = options.place.big_bytes / GIB
        return {"cpu_us": done.cpu / size * 1e6, "per_s": size / done.wall, "memory": done.memory}

    return measure


def small(kept, resumed=False, http=1):
    """1,000 fetches of 4 KiB: over one connection, or each over its own."""
    def measure(client, server, options):
        many = Many(server, options.place)
        done = execute(client, Job(many.urls, server.certificate.ca, kept=kept, many=many, http=http))
        connections, share = connections_seen(server)
        if connections is not None and (connections > SMALL // 10) == kept:
            raise DoesNotFit(f"used {connections} connections")
        if resumed and share < 0.9:
            raise DoesNotFit(f"resumes {share:.0%}")
        return {"cpu_us": done.cpu / SMALL * 1e6, "per_s": SMALL / done.wall, "memory": done.memory}

    return measure


def connections_seen(server):
    """What the server's log says of the last 1,000 requests: how many connections, what share of them resumed."""
    log = server.dir / "connections.log"
    if not log.exists():
        return None, 1.0
    seen = dict(line.split() for line in log.read_text().splitlines()[-SMALL:])
    return len(seen), list(seen.values()).count("r") / max(len(seen), 1)
