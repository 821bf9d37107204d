"""The generators: each makes one run against a started server and tells what it saw and what it cost there.

A run gives a dict: `cpu_us` per unit for the server, `per_s`, `p50_ms` and `p99_ms` where the generator tells,
`bytes` for memory. Third parties drive wherever they can; where none can, `handfast bench` does and is named.
"""

import concurrent.futures
import json
import os
import re
import socket
import ssl
import subprocess
import time

from . import system
from .peers import HANDFAST
from .place import GIB


class DoesNotFit(Exception):
    """The peer cannot do this, by its nature or its version."""


def milliseconds(text):
    """wrk's and h2load's way of writing a time."""
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    return float(match.group(1)) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[match.group(2)] if match else None


def percentile(values, percent):
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else None


# Each `*_run` drives and parses: the result has "count", "per_s", latencies, and "load_cpu", the generator's own time.


def wrk_run(server, path, seconds, connections, extra=(), env=None, cores=system.LOAD_CORE, threads=1):
    done = system.run(["wrk", f"-t{threads}", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", *extra,
                       server.url(path)], env=env, cores=cores)
    requests = re.search(r"(\d+) requests in", done.out)
    if not requests or int(requests.group(1)) == 0:
        raise RuntimeError(f"wrk: {done.out[-300:]}")
    if bad := re.search(r"Non-2xx or 3xx responses: (\d+)", done.out):
        raise RuntimeError(f"{bad.group(1)} replies were errors")
    latency = {q: milliseconds(v) for q, v in re.findall(r"^\s+(50|99)%\s+(\S+)", done.out, re.M)}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.out)
    return {"count": int(requests.group(1)), "per_s": float(rate.group(1)), "p50_ms": latency.get("50"),
            "p99_ms": latency.get("99"), "load_cpu": done.cpu}


def h2load_run(server, path, seconds, connections, streams, extra=(), latencies=True):
    log = server.dir / "h2load.tsv"
    log.unlink(missing_ok=True)
    done = system.run(["h2load", "-t1", f"-c{connections}", f"-m{streams}", "-D", max(1, round(seconds)), *extra,
                       *([f"--log-file={log}"] if latencies else []), server.url(path)])
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done.out)
    if not counts or int(counts.group(1)) == 0 or any(int(counts.group(n)) for n in (2, 3)):
        raise RuntimeError(f"h2load: {done.out[-400:]}")
    bad = re.search(r"(\d+) 4xx, (\d+) 5xx", done.out)
    if bad and (int(bad.group(1)) or int(bad.group(2))):
        raise RuntimeError(f"h2load: {bad.group(0)}")
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", done.out)
    times = []
    if latencies:
        times = sorted(int(line.rsplit("\t", 1)[1]) / 1e3 for line in log.read_text().splitlines())
        log.unlink()
    return {"count": int(counts.group(1)), "per_s": float(rate.group(1)), "p50_ms": percentile(times, 50),
            "p99_ms": percentile(times, 99), "load_cpu": done.cpu}


def oha_run(server, path, seconds, connections, extra=()):
    # oha checks against the system's authorities only.
    done = system.run(["oha", "--no-tui", "--insecure", "-z", f"{round(seconds * 1000)}ms", "-c", connections,
                       "--output-format", "json", *extra, server.url(path)])
    try:
        told = json.loads(done.out[done.out.index("{"):])
        statuses = told["statusCodeDistribution"]
        count = statuses.get("200", 0)
    except (ValueError, KeyError):
        raise RuntimeError(f"oha: {done.out[-300:]}") from None
    if count == 0 or len(statuses) > 1:
        raise RuntimeError(f"oha: statuses {statuses}")
    latency = told["latencyPercentiles"]
    return {"count": count, "per_s": told["summary"]["requestsPerSec"], "p50_ms": latency["p50"] * 1e3,
            "p99_ms": latency["p99"] * 1e3, "load_cpu": done.cpu}


def handfast_run(server, path, seconds, connections, extra=(), cores=system.LOAD_CORE, threads=1,
                 trust=True):
    limit = ["-d", f"{round(seconds * 1000)}ms"] if seconds else []
    anchors = ["--cacert", server.certificate.ca] if trust else []
    done = system.run([HANDFAST, "bench", "--quiet", "--json", *anchors, "-t", threads, "-c", connections,
                       "--timeout", "60s", *limit, *extra, server.url(path)], cores=cores)
    try:
        # A warning may come before it.
        told = json.loads(done.out[done.out.index("{"):])
    except ValueError:
        raise RuntimeError(f"handfast bench: {done.out[-300:]}") from None
    if told["failures"] or set(told["statuses"]) != {"200"}:
        raise RuntimeError(f"handfast bench: {told['statuses']} {[one['id'] for one in told['failures']]}")
    return {"count": told["requests"]["complete"], "per_s": told["requests_per_second"],
            "p50_ms": told["latency"]["p50_ms"], "p99_ms": told["latency"]["p99_ms"], "load_cpu": done.cpu,
            "tls": told["tls"]}


def charged(server, drive, *arguments, **options):
    """Runs a generator; what the server used meanwhile is divided by what was done."""
    before = server.cpu()
    seen = drive(server, *arguments, **options)
    seen["cpu_us"] = (server.cpu() - before) / seen["count"] * 1e6
    return seen


# Workloads. Each takes a started server and the options of the whole measurement.


def wrk(path, connections, *extra, needs="small"):
    def measure(server, options):
        require(server, needs)
        more = [part(options) if callable(part) else part for part in extra]
        return charged(server, wrk_run, path, options.seconds, connections, more)

    return measure


def h2load(path, connections, streams):
    def measure(server, options):
        return charged(server, h2load_run, path, options.seconds, connections, streams)

    return measure


def handfast(path, connections, *extra, hybrid=False, resumed=False):
    def measure(server, options):
        if hybrid and not server.peer.hybrid:
            raise DoesNotFit("no X25519MLKEM768")
        seen = charged(server, handfast_run, path, options.seconds, connections, extra)
        if resumed and seen["tls"]["resumed_share"] < 0.9:
            raise DoesNotFit("does not resume")
        return seen

    return measure


def s_time(*arguments, at_once=1, version=None):
    """Connections by `openssl s_time`, so many processes at once, each with one connection after the other: a
    request and a close.

    wrk cannot do full handshakes: it keeps its connections' TLS objects, whose sessions OpenSSL then resumes.
    """
    def measure(server, options):
        if "-tls1_2" in arguments:
            require_tls12(server)
        env = {**os.environ, "OPENSSL_CONF": str(getattr(options.place, version))} if version else None
        before, began = server.cpu(), time.monotonic()
        # s_time counts in whole seconds.
        running = [subprocess.Popen(["taskset", "-c", str(system.LOAD_CORE), "openssl", "s_time", "-connect",
                                     f"127.0.0.1:{server.port}", "-www", "/4k.bin", "-time",
                                     str(max(1, round(options.seconds))), *arguments],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
                   for _ in range(at_once)]
        told = [one.communicate(timeout=60)[0] for one in running]
        wall = time.monotonic() - began
        cpu, count = server.cpu() - before, 0
        for out in told:
            lines = re.findall(r"(\d+) connections in ([\d.]+)s; ([\d.]+) connections/user sec", out)
            if not lines or int(lines[-1][0]) == 0:
                raise RuntimeError(f"s_time: {out[-300:]}")
            count += int(lines[-1][0])
            # One letter a connection: r for resumed, * for a full handshake (t and s in versions of old).
            marks = max(re.findall(r"^[*rts]+$", out, re.M), key=len, default="")
            resumed = marks.count("r")
            if len(marks) < int(lines[-1][0]) // 2:
                raise RuntimeError(f"s_time does not say what it did: {out[:100]}")
            if "-reuse" in arguments and resumed < len(marks) * 9 // 10:
                raise DoesNotFit("does not resume")
            if "-new" in arguments and resumed > 0:
                raise RuntimeError(f"{resumed} of {len(marks)} were resumed")
        return {"count": count, "cpu_us": cpu / count * 1e6, "per_s": count / wall}

    return measure


def bulk(protocol, at_once):
    """The big file by curl, to /dev/null; so many curls share the generators' core."""
    def measure(server, options):
        require(server, "files")
        before, began = server.cpu(), time.monotonic()
        running = [subprocess.Popen(["taskset", "-c", str(system.LOAD_CORE), "curl", "-s", "--cacert",
                                     server.certificate.ca, protocol, "-o", "/dev/null", "-w",
                                     "%{size_download} %{http_version}", server.url("/big.bin")],
                                    stdout=subprocess.PIPE, text=True)
                   for _ in range(at_once)]
        told = [one.communicate(timeout=300)[0].split() for one in running]
        wall = time.monotonic() - began
        cpu = server.cpu() - before
        got = sum(int(size) for size, _ in told)
        if got != options.place.big_bytes * at_once:
            raise RuntimeError(f"{got} bytes arrived")
        if any(not version.startswith(protocol[-1] if protocol == "--http2" else "1.1") for _, version in told):
            raise DoesNotFit("no HTTP/2")
        return {"count": got / GIB, "cpu_us": cpu / (got / GIB) * 1e6, "per_s": got / GIB / wall}

    return measure


def listing(pages):
    """A directory of 10,000 entries, so many times over one connection; each entry must be in the page."""
    def measure(server, options):
        require(server, "listing")
        curl = ["curl", "-sS", "--http1.1", "--cacert", server.certificate.ca]
        page = subprocess.run([*curl, server.url("/many/")], capture_output=True, timeout=60).stdout
        names = len(set(re.findall(rb"\d{5}\.bin", page)))
        if names != options.place.many:
            raise DoesNotFit(f"lists {names} of {options.place.many}")
        before = server.cpu()
        done = system.run([*curl, "-w", "%{stderr}%{http_code} %{time_total}\\n", "-o", "/dev/null",
                           server.url(f"/many/?[1-{pages}]")])
        cpu = server.cpu() - before
        told = [line.split() for line in done.out.splitlines()]
        if [status for status, _ in told] != ["200"] * pages:
            raise RuntimeError(f"curl: {done.out[-300:]}")
        times = sorted(float(time) * 1e3 for _, time in told)
        return {"count": pages, "cpu_us": cpu / pages * 1e6, "per_s": pages / (sum(times) / 1e3),
                "p50_ms": percentile(times, 50), "p99_ms": percentile(times, 99)}

    return measure


def compressed(path, *extra):
    """Text of 64 KiB, compressed with gzip for a client that asks for it; wrk."""
    def measure(server, options):
        require(server, "compression")
        field = "Accept-Encoding: gzip"
        got = subprocess.run(["curl", "-sS", "--http1.1", "--cacert", server.certificate.ca, "-H", field, "-o", "/dev/null",
                              "-w", "%{size_download} %header{content-encoding}", server.url("/texts/0000.json")],
                             capture_output=True, text=True, timeout=10).stdout.split()
        if got[1:] != ["gzip"]:
            raise DoesNotFit(f"answers {got}")
        more = [part(options) if callable(part) else part for part in extra]
        return charged(server, wrk_run, path, options.seconds, 32, ["-H", field, *more])

    return measure


def first_time():
    """10,000 files, each asked for once, one after the other over one connection; curl."""
    def measure(server, options):
        require(server, "files")
        before, began = server.cpu(), time.monotonic()
        done = system.run(["curl", "-sS", "--http1.1", "--cacert", server.certificate.ca, "-o", "/dev/null", "-w",
                           "%{stderr}%{http_code}\\n", server.url(f"/many/[00000-{options.place.many - 1:05}].bin")])
        cpu, wall = server.cpu() - before, time.monotonic() - began
        if done.out.split() != ["200"] * options.place.many:
            raise RuntimeError(f"curl: {done.out[-300:]}")
        return {"count": options.place.many, "cpu_us": cpu / options.place.many * 1e6,
                "per_s": options.place.many / wall}

    return measure


def idle(count):
    """Memory for each keep-alive connection that has made one request and waits."""
    def measure(server, options):
        wanted = count(options)
        context = ssl.create_default_context(cafile=server.certificate.ca)
        request = b"GET /4k.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"
        held = []

        def hold(_):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            stream = context.wrap_socket(raw, server_hostname="localhost")
            held.append(stream)
            stream.sendall(request)
            drain(stream)

        try:
            before, began = server.memory(), time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for _ in pool.map(hold, range(wanted)):
                    pass
            memory = server.memory() - before
            try:
                # They are still there, all of them: the first answers again.
                held[0].sendall(request)
                drain(held[0])
            except (OSError, RuntimeError):
                raise DoesNotFit(f"closes them within {time.monotonic() - began:.0f} s") from None
        finally:
            for stream in held:
                stream.close()
        return {"count": wanted, "bytes": memory / wanted}

    return measure


def drain(stream):
    seen = b""
    while b"\r\n\r\n" not in seen:
        part = stream.recv(8192)
        if not part:
            raise RuntimeError("a connection was closed")
        seen += part
    head, body = seen.split(b"\r\n\r\n", 1)
    length = re.search(rb"content-length: (\d+)", head, re.I)
    if not length:
        raise RuntimeError("a reply without a length")
    left = int(length.group(1)) - len(body)
    while left > 0:
        left -= len(stream.recv(min(left, 65536)))


def require(server, what):
    if what not in server.peer.does:
        raise DoesNotFit("has no files")


def require_tls12(server):
    done = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{server.port}"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=10)
    if done.returncode != 0:
        raise DoesNotFit("no TLS 1.2")
