"""Everything that happens to a server that runs for months, for some minutes; what it holds before and afterwards."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from measure import system
from measure.place import Certificate

from .beside import Innocent
from .watch import Snapshot, Watch

# Idle connections end soon, so that what is held at rest is held for no client.
IDLE = "3s"

# Memory at rest may differ by this, of which a part is chance: which thread served what.
MEMORY_SHARE, MEMORY_BYTES = 0.10, 2 << 20

# Files that are kept open for the next request come and go.
DESCRIPTORS = 4

# As small as a disk can be that a log fills within seconds.
DISK = "2m"

CONFIGURATION = """
[[listener]]
address = "127.0.0.1:{port}"

[limits]
idle = "{idle}"

[log]
to = "logs/access.log"
format = "json"
audit = "logs/audit.jsonl"

[status]
address = "127.0.0.1:{status}"

[[tls.certificate]]
chain = "current/chain.pem"
key = "current/key.pem"

[[site]]
root = "public"

[[site.rule]]
path = "/**"
headers = ["X-Turn: {turn}"]

[[site]]
names = ["127.0.0.1"]
root = "public"

[site.log]
to = "logs/other.log"
format = "combined"
"""


class Server:
    def __init__(self, base, options):
        self.base, self.turn = base, 0
        self.port, self.status = system.free_port(), system.free_port()
        for name in ("one", "two"):
            made = Certificate(base, name, ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
            (base / f"{name}.d").mkdir()
            (base / f"{name}.d" / "chain.pem").write_text(made.chain.read_text())
            (base / f"{name}.d" / "key.pem").write_text(made.key.read_text())
        (base / "current").symlink_to("one.d")
        self.configure()
        self.output = base / "output"
        command = [options.binary, "serve", "--config", base / "handfast.toml", "--quiet"]
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        alarm = time.monotonic() + 30
        while b"listening on" not in self.output.read_bytes():
            if time.monotonic() > alarm or self.process.poll() is not None:
                self.process.kill()
                raise RuntimeError(f"the server does not start: {self.output.read_text()}")
            time.sleep(0.05)

    def url(self, path):
        return f"https://localhost:{self.port}{path}"

    def write(self, text):
        beside = self.base / "next.toml"
        beside.write_text(text)
        beside.replace(self.base / "handfast.toml")

    def configure(self):
        self.turn += 1
        self.write(CONFIGURATION.format(port=self.port, status=self.status, idle=IDLE, turn=self.turn))

    def hang_up(self):
        self.process.send_signal(signal.SIGHUP)

    def metrics(self):
        """Each sample by its name with its labels."""
        context = insecure()
        with socket.create_connection(("127.0.0.1", self.status), timeout=20) as raw, context.wrap_socket(raw) as stream:
            stream.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: stream.recv(65536), b"")).decode()
        samples = re.findall(r"^(handfast_[a-z_]+(?:\{[^}]*\})?) ([0-9.eE+-]+)$", text, re.M)
        return {name: float(value) for name, value in samples}

    def stop(self):
        """Gives its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def insecure():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Activity(threading.Thread):
    """Something that goes on until it is stopped, and what came of it."""

    pause = 0.1

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.over, self.count, self.problems = server, threading.Event(), 0, []
        self.random = random.Random(type(self).__name__)

    def run(self):
        while not self.over.is_set():
            try:
                self.step()
            except Exception as error:  # What goes wrong here is a result, not the end.
                self.problems.append(f"{type(error).__name__}: {error}")
            self.over.wait(self.pause)

    def stop(self):
        self.over.set()
        self.join(60)
        return {"count": self.count, "problems": sorted(set(self.problems))[:5], "problem_count": len(self.problems)}


class Reloads(Activity):
    """By a signal, by a switched certificate alone, and now and then by a configuration that is broken."""

    pause = 0.25
    # A change without a signal is acted on when it was seen twice, a second apart.
    SEEN = 2.5

    def step(self):
        kind = self.count % 10
        self.count += 1
        base = self.server.base
        if kind == 8:
            name = "two.d" if os.readlink(base / "current") == "one.d" else "one.d"
            (base / "switched").symlink_to(name)
            (base / "switched").replace(base / "current")
            self.over.wait(self.SEEN)
            return
        if kind == 9:
            self.server.write("[[site]]\nroot = 7\n")
        else:
            self.server.configure()
        self.server.hang_up()


class Killed(Activity):
    """Clients that end in the middle: of a download, of a handshake, of a request."""

    pause = 0.15

    def step(self):
        self.count += 1
        kind = self.count % 3
        if kind == 0:
            command = ["curl", "-sk", "-o", "/dev/null", self.server.url("/large.bin")]
            client = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            time.sleep(self.random.uniform(0.01, 0.3))
            client.kill()
            client.wait()
        elif kind == 1:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as raw:
                raw.sendall(b"\x16\x03\x01\x02\x00" + self.random.randbytes(self.random.randrange(100)))
        else:
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as raw:
                with insecure().wrap_socket(raw, server_hostname="localhost") as stream:
                    stream.sendall(b"GET /large.bin HTTP/1.1\r\nHost: local"[: self.random.randrange(1, 40)])


class Changes(Activity):
    """A file that is replaced, one that shrinks and grows where it is, and a directory that is built again."""

    pause = 0.02
    SIZE = 200_000
    SHRINKING = (1 << 20, 8 << 20)

    def step(self):
        self.count += 1
        base, public = self.server.base, self.server.base / "public"
        beside = base / "beside.bin"
        beside.write_bytes(bytes([self.count % 256]) * self.SIZE)
        beside.replace(public / "changing.bin")
        os.truncate(public / "shrinking.bin", self.SHRINKING[self.count % 2])
        if self.count % 25 == 0:
            built, gone = base / "built", base / "gone"
            built.mkdir()
            (built / "page.html").write_text(f"<!doctype html><title>{self.count}</title>")
            if (public / "dist").exists():
                (public / "dist").rename(gone)
            built.rename(public / "dist")
            if gone.exists():
                shutil.rmtree(gone)


class Reader(Activity):
    """Reads the files that change: each reply is one version, whole, or ends so that this is seen."""

    pause = 0.05

    def __init__(self, server):
        super().__init__(server)
        self.cut = 0

    def step(self):
        self.count += 1
        path = ("/changing.bin", "/shrinking.bin", "/dist/")[self.count % 3]
        head, body = self.get(path)
        if path == "/dist/" and head.startswith(b"HTTP/1.1 404"):
            return  # Between the one and the other.
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head[:40].decode(errors="replace"))
        length = re.search(rb"content-length: (\d+)", head.lower())
        if length and len(body) != int(length.group(1)):
            self.cut += 1
        elif path == "/changing.bin" and len(set(body)) > 1:
            raise RuntimeError("two versions in one reply")

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=20) as raw:
            with insecure().wrap_socket(raw, server_hostname="localhost") as stream:
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                reply = b""
                # Without close_notify, or reset: the length in the head says what is missing.
                with contextlib.suppress(ssl.SSLError, ConnectionResetError):
                    while part := stream.recv(1 << 20):
                        reply += part
        head, _, body = reply.partition(b"\r\n\r\n")
        return head, body


class Disk(Activity):
    """The disk of the logs is filled, has room again, and logs are rotated."""

    pause = 1.0

    def step(self):
        self.count += 1
        logs = self.server.base / "logs"
        ballast = logs / "ballast"
        with contextlib.suppress(OSError), open(ballast, "wb") as file:
            while file.write(b"x" * 4096):
                file.flush()
        self.over.wait(2)
        # What was written meanwhile goes, too: a rotation that keeps nothing.
        ballast.unlink()
        for name in ("access.log", "other.log", "audit.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                (logs / name).rename(logs / f"{name}.1")
        self.server.hang_up()
        self.over.wait(2)
        for name in ("access.log.1", "other.log.1", "audit.jsonl.1"):
            with contextlib.suppress(FileNotFoundError):
                (logs / name).unlink()


class Rotation(Activity):
    """The same where no disk can be made: log rotation alone."""

    pause = 2.0

    def step(self):
        self.count += 1
        logs = self.server.base / "logs"
        for name in ("access.log", "other.log", "audit.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                (logs / name).replace(logs / f"{name}.1")
        self.server.hang_up()


def load(server, options, seconds, arguments):
    command = [options.binary, "bench", "--quiet", "--json", "--insecure", "-t", "1", "-d", f"{seconds}s", *arguments]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def loads(server, options, seconds):
    """Kept connections, of both versions, which no reload may touch; and handshakes."""
    kept = ["-c", "8", "--rate", str(options.rate)]
    fresh = ["-c", "16", "--handshake", "full", "--rate", str(options.handshakes)]
    other = f"https://127.0.0.1:{server.port}/4k.bin"
    return {
        "HTTP/2, kept connections": load(server, options, seconds, [*kept, "--http2", server.url("/4k.bin")]),
        "HTTP/1.1, kept connections": load(server, options, seconds, [*kept, "--http1.1", other]),
        "full handshakes": load(server, options, seconds, [*fresh, server.url("/text.css")]),
    }


def ended(process):
    out, err = process.communicate(timeout=120)
    try:
        seen = json.loads(out[out.index("{"):])
    except ValueError:
        return {"complete": 0, "failures": {err.strip()[-200:] or "no result": 1}, "p99_ms": None}
    failures = {one["id"]: one["count"] for one in seen["failures"]}
    failures |= {f"status {status}": count for status, count in seen["statuses"].items() if status != "200"}
    return {"complete": seen["requests"]["complete"], "failures": failures, "p99_ms": seen["latency"]["p99_ms"]}


def go_on(server, options, seconds, has_disk, say):
    """All of it, for so long."""
    innocent = Innocent(server)
    kinds = [Reloads, Killed, Changes, Reader, Disk if has_disk else Rotation]
    activities = [kind(server) for kind in kinds]
    began = time.monotonic()
    running = loads(server, options, seconds)
    for activity in activities:
        activity.start()
    try:
        while time.monotonic() < began + seconds and server.process.poll() is None:
            time.sleep(0.5)
    finally:
        seen = {"activities": {type(one).__name__: one.stop() for one in activities}}
        seen["cut"] = next(one for one in activities if isinstance(one, Reader)).cut
        # What a broken configuration, or a full disk, has left.
        server.configure()
        server.hang_up()
        seen["loads"] = {name: ended(process) for name, process in running.items()}
        innocent.stop()
    seen["innocent"] = innocent.between(began, time.monotonic())
    if server.process.poll() is not None:
        raise RuntimeError(f"the server has ended: {server.output.read_text()[-2000:]}")
    return seen


@contextlib.contextmanager
def small_disk(directory, say):
    """A file system of its own, if this user may mount one."""
    directory.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", directory], capture_output=True, text=True)
    if mounted.returncode != 0:
        say(f"SKIPPED: the full disk: only root can mount a small one ({mounted.stderr.strip()})")
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", directory], check=False)


def run(base, options, say):
    base.chmod(0o755)
    public = base / "public"
    public.mkdir()
    for name, size in (("4k.bin", 4096), ("large.bin", 64 << 20), ("changing.bin", Changes.SIZE),
                       ("shrinking.bin", Changes.SHRINKING[0])):
        (public / name).write_bytes(b"\0" * size)
    # Compressed while it is sent.
    (public / "text.css").write_text("".join(f".class-{number} {{ color: #{number:06x} }}\n" for number in range(500)))
    with small_disk(base / "logs", say) as has_disk:
        server = Server(base, options)
        try:
            say(f"{options.warm} s until it has served everything once")
            go_on(server, options, options.warm, has_disk, say)
            time.sleep(options.rest)
            before, counted = Snapshot(server), server.metrics()
            say(f"{options.seconds} s from here: {before.pss / 1e6:.1f} MB, {before.descriptors} descriptors")
            watch = Watch(server)
            seen = go_on(server, options, options.seconds, has_disk, say)
            time.sleep(options.rest)
            watch.stop()
            after, counts = Snapshot(server), server.metrics()
            written = (base / "logs" / "access.log").exists()
            seen |= {
                "seconds": options.seconds, "has_disk": has_disk, "before": before.plain(), "after": after.plain(),
                "rss_peak": watch.rss_max, "descriptors_peak": watch.descriptors_max, "log_is_written": written,
                "counted": {name: value - counted.get(name, 0) for name, value in counts.items() if "_total" in name},
            }
        finally:
            code = server.stop()
        seen["exit_code"] = code
        return seen


def missed(seen):
    """What is not as it should be."""
    found = []
    before, after = seen["before"], seen["after"]
    if after["pss"] > before["pss"] * (1 + MEMORY_SHARE) + MEMORY_BYTES:
        found.append(f"memory: {before['pss'] / 1e6:.1f} MB before, {after['pss'] / 1e6:.1f} MB afterwards")
    if after["descriptors"] > before["descriptors"] + DESCRIPTORS:
        found.append(f"descriptors: {before['descriptors']} before, {after['descriptors']} afterwards")
    for name, one in seen["loads"].items():
        if one["failures"] or not one["complete"]:
            found.append(f"{name}: {one['failures'] or 'nothing was done'}")
    if seen["innocent"]["failed"] or not seen["innocent"]["requests"]:
        found.append(f"the well-behaved client: {seen['innocent']}")
    for name, one in seen["activities"].items():
        if one["problem_count"] or not one["count"]:
            found.append(f"{name}: {one['problems'] or 'nothing was done'}")
    if seen["exit_code"] != 0:
        found.append(f"the exit code is {seen['exit_code']}")
    if not seen["log_is_written"]:
        found.append("no log is written any more")
    if seen["has_disk"] and not lost(seen):
        found.append("the disk was full, and no line was lost: was it?")
    for result in ("success", "failure"):
        if not any("reloads_total" in name and result in name and count for name, count in seen["counted"].items()):
            found.append(f"no reload was counted as {result}")
    return found


def lost(seen):
    return int(sum(count for name, count in seen["counted"].items() if name.startswith("handfast_log_lines_lost_total")))


def document(seen):
    before, after, activities = seen["before"], seen["after"], seen["activities"]
    lines = [f"{seen['meta']['date']}; {seen['meta']['version']}; revision {seen['meta']['revision']}.", ""] if "meta" in seen else []
    reloads = ", ".join(f"{int(count)} {name.split('=')[1].strip(chr(34) + '}')}" for name, count in sorted(seen["counted"].items())
                        if "reloads_total" in name)
    lines += [f"| {seen['seconds']} s | before | most | at the end |", "| --- | --- | --- | --- |",
              f"| memory at rest (PSS; most: resident) | {before['pss'] / 1e6:.1f} MB | {seen['rss_peak'] / 1e6:.1f} MB | "
              f"{after['pss'] / 1e6:.1f} MB |",
              f"| descriptors (of which sockets) | {before['descriptors']} ({before['sockets']}) | {seen['descriptors_peak']} | "
              f"{after['descriptors']} ({after['sockets']}) |", "",
              "| what went on | how often | failed |", "| --- | --- | --- |"]
    for name, one in seen["loads"].items():
        failed = ", ".join(f"{count} {what}" for what, count in one["failures"].items()) or "0"
        lines.append(f"| load: {name} | {one['complete']:,} requests, p99 {one['p99_ms']:.0f} ms | {failed} |"
                     if one["p99_ms"] is not None else f"| load: {name} | {one['complete']:,} requests | {failed} |")
    innocent = seen["innocent"]
    lines.append(f"| a well-behaved client beside it | {innocent['requests']:,} requests, p99 {innocent['p99_ms']:.0f} ms, "
                 f"at most {innocent['max_ms']:.0f} ms | {innocent['failed']} |")
    disk = (f"| the logs' disk was full, and had room again | {activities['Disk']['count']} times, {lost(seen):,} lines were lost and counted "
            f"| {activities['Disk']['problem_count']} |" if seen["has_disk"] else "| the logs' disk was full | skipped: needs root | |")
    lines += [
        f"| changes of configuration with SIGHUP, of the certificate alone, broken ones | {activities['Reloads']['count']:,}; reloads: {reloads} | "
        f"{activities['Reloads']['problem_count']} |",
        f"| clients killed in the middle | {activities['Killed']['count']:,} | {activities['Killed']['problem_count']} |",
        f"| files and a directory changed, read meanwhile | {activities['Changes']['count']:,} times; {activities['Reader']['count']:,} replies, of which "
        f"{seen['cut']} ended early because the file had changed | {activities['Reader']['problem_count']} |",
        disk, ""]
    return "\n".join(lines)
