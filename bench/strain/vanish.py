"""Clients that vanish without a FIN: a network namespace whose link goes down. Needs root and iproute2. And the tests that
kill `handfast get`, at more points than continuous integration has time for.

The server stands in this namespace and its clients in another, joined by a pair of virtual links. When the link is
down, nothing of the clients arrives any more, not even a reset.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import system
from measure.drive import DoesNotFit
from measure.peers import BENCH, HANDFAST

from .watch import Snapshot, descriptors

# RFC 5737 and 2544 reserve networks for such things; this one is for benchmarks.
SERVER, CLIENT = "198.18.0.1", "198.18.0.2"

# Each is there twenty times, when the link goes down.
KINDS = {
    "idle": b"GET /1k.bin HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "in a head": b"GET /1k.bin HTTP/1.1\r\nHost: local",
    "in a reply": b"GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
EACH = 20

# More than every limit of the server's: 60 s for what is idle and for what is not taken, 15 s for a head.
PATIENCE = 150

CLIENTS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
held = []
for request in {requests!r}:
    for _ in range({each}):
        raw = socket.create_connection(("{server}", {port}), timeout=10)
        held.append(context.wrap_socket(raw, server_hostname="localhost"))
        held[-1].sendall(request)
print("there", flush=True)
sys.stdin.read()
"""


def ip(*words):
    done = subprocess.run([system.which("ip"), *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise DoesNotFit(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Namespace:
    """A namespace with one link to here."""

    def __init__(self):
        if os.geteuid() != 0 or not system.which("ip"):
            raise DoesNotFit("needs root and iproute2")
        self.name = f"vanish{os.getpid()}"
        self.here, self.there = f"vh{os.getpid()}", f"vt{os.getpid()}"

    def __enter__(self):
        ip("netns", "add", self.name)
        try:
            ip("link", "add", self.here, "type", "veth", "peer", "name", self.there, "netns", self.name)
            ip("addr", "add", f"{SERVER}/30", "dev", self.here)
            ip("link", "set", self.here, "up")
            self.inside("addr", "add", f"{CLIENT}/30", "dev", self.there)
            self.inside("link", "set", self.there, "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def inside(self, *words):
        ip("-n", self.name, *words)

    def down(self):
        self.inside("link", "set", self.there, "down")

    def command(self, *words):
        return [system.which("ip"), "netns", "exec", self.name, *map(str, words)]

    def __exit__(self, *_):
        ip("netns", "del", self.name)


def clients_vanish(options, place):
    """How long the server keeps what belongs to clients whose link went down."""
    port = system.free_port()
    with Namespace() as network, tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [HANDFAST, "serve", str(place.files), "--listen", f"{SERVER}:{port}", "--cert", place.ecdsa.chain, "--key",
             place.ecdsa.key, "--threads", "2", "--audit", f"{directory}/audit"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        clients = None
        try:
            process.stdout.readline()
            server = type("Server", (), {"process": process})
            warm = subprocess.run(network.command("curl", "-sk", "-o", "/dev/null", "--retry", "20", "--retry-connrefused",
                                                  f"https://{SERVER}:{port}/1k.bin"), timeout=30)
            if warm.returncode != 0:
                raise RuntimeError(f"curl through the namespace: {warm.returncode}")
            time.sleep(1)
            before = Snapshot(server)
            script = CLIENTS.format(requests=list(KINDS.values()), each=EACH, server=SERVER, port=port)
            clients = subprocess.Popen(network.command(sys.executable, "-c", script), stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
            if clients.stdout.readline().strip() != "there":
                raise RuntimeError("the clients did not connect")
            time.sleep(1)
            held = Snapshot(server)
            network.down()
            down = time.monotonic()
            course = []
            while time.monotonic() - down < PATIENCE:
                left = descriptors([process.pid])[1] - before.sockets
                if not course or course[-1]["sockets"] != left:
                    course.append({"second": round(time.monotonic() - down, 1), "sockets": left})
                if left <= 0:
                    break
                time.sleep(0.25)
            after = Snapshot(server)
            return {"clients": EACH * len(KINDS), "before": before.plain(), "held": held.plain(), "after": after.plain(),
                    "seconds": course[-1]["second"], "left": after.sockets - before.sockets, "course": course}
        finally:
            for one in (clients, process):
                if one:
                    one.kill()
                    one.wait()


def server_vanishes(options, place):
    """What `handfast get` says, and when, of a server whose link goes down in the middle of a body."""
    port = system.free_port()
    with Namespace() as network, tempfile.TemporaryDirectory() as directory:
        # The server is the one that is elsewhere here. It sends slowly enough that the body is under way.
        script = (
            "import socket, ssl, time\n"
            f"c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain({str(place.ecdsa.chain)!r}, {str(place.ecdsa.key)!r})\n"
            f"door = socket.create_server(({CLIENT!r}, {port}))\nprint('there', flush=True)\n"
            "s = c.wrap_socket(door.accept()[0], server_side=True)\ns.recv(9999)\n"
            "s.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1000000\\r\\n\\r\\n')\n"
            "while True:\n s.sendall(b'x' * 1000)\n time.sleep(0.05)\n")
        server = subprocess.Popen(network.command(sys.executable, "-c", script), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        target = Path(directory) / "body"
        try:
            server.stdout.readline()
            get = subprocess.Popen(
                [HANDFAST, "get", "--http1.1", "--cacert", place.ecdsa.ca, "--resolve",
                 f"localhost:{port}:{CLIENT}", "-o", target, f"https://localhost:{port}/"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            deadline = time.monotonic() + 20
            while not any(path.stat().st_size > 3000 for path in Path(directory).iterdir()):
                if time.monotonic() > deadline or get.poll() is not None:
                    raise RuntimeError(f"nothing of the body arrived: {get.communicate()[1][-300:]}")
                time.sleep(0.05)
            network.down()
            down = time.monotonic()
            try:
                _, err = get.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                get.kill()
                _, err = get.communicate()
            return {"seconds": round(time.monotonic() - down, 1), "code": get.returncode,
                    "said": err.strip().splitlines()[0] if err.strip() else "", "named": target.exists()}
        finally:
            server.kill()
            server.wait()


def killed(options, place):
    """The project's own tests, at 200 points."""
    points = 200
    done = subprocess.run(["cargo", "test", "--quiet", "-p", "handfast-cli", "--test", "cli", "--", "killed", "--nocapture",
                           "--test-threads", "1"], cwd=BENCH.parent, capture_output=True, text=True,
                          env={**os.environ, "HANDFAST_KILL_POINTS": str(points)})
    said = [line for line in done.stdout.splitlines() if line.startswith(("killed ", "uploads "))]
    if done.returncode != 0:
        raise RuntimeError(f"the tests failed: {(done.stdout + done.stderr)[-600:]}")
    return {"points": points, "said": "; ".join(said)}


FAULTS = {"clients-vanish": clients_vanish, "server-vanishes": server_vanishes, "killed": killed}
