"""One attack on one server with a well-behaved client beside it, and what is left a minute later."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from measure import system
from measure.drive import DoesNotFit, percentile
from measure.peers import BENCH, HANDFAST, Peer

from .attacks import CONNECTIONS_MAX, CONNECTIONS_MAX_OTHERWISE, LOOK_AFTER
from .watch import Snapshot, Watch

INNOCENT = Path(__file__).parent / "innocent.py"

# With the limits that each has by itself; only the number of connections is set, alike for all.
PEERS = [
    Peer("handfast", str(HANDFAST),
         [str(HANDFAST), "serve", "{ROOT}", "--listen", "127.0.0.1:{PORT}", "--cert", "{CERT}", "--key", "{KEY}",
          "--threads", "{THREADS}", "--connections-max", "{CONNECTIONS}", "--quiet"]),
    Peer("nginx", "nginx", ["nginx", "-p", "{DIR}", "-c", "{CONFIG}"], "nginx-limits.conf"),
    Peer("h2o", "h2o", ["h2o", "-c", "{CONFIG}"], "h2o-limits.yaml"),
]

# What is opened once and for all has been opened by then, and a heap has what serving takes.
WARMING = 1.0

# "Afterwards" begins when the attack is over, and this long counts for a client's waiting.
AFTER = 2.0


class Innocent:
    def __init__(self, server, path="/4k.bin"):
        self.process = subprocess.Popen(
            ["taskset", "-c", str(system.LOAD_CORE), sys.executable, INNOCENT, str(server.port), path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self):
        out, _ = self.process.communicate(timeout=30)
        told = json.loads(out)
        self.preferred, self.requests = told["preferred"], told["requests"]
        return self

    def between(self, begin, end):
        """The requests that began in this time."""
        chosen = [request for request in self.requests if begin <= request[0] < end]
        times = sorted(request[1] for request in chosen)
        failures = [request[3] for request in chosen if request[3]]
        return {"requests": len(chosen), "failed": len(failures), "failures": sorted(set(failures))[:5],
                "p50_ms": percentile(times, 50), "p99_ms": percentile(times, 99), "max_ms": times[-1] if times else None}


def warm(server):
    """Every path that an attack uses, once: a listing, a large reply that is broken off, both versions of HTTP."""
    curl = ["curl", "-s", "-o", "/dev/null", "--cacert", server.certificate.ca]
    for version in ("--http1.1", "--http2"):
        for path in ("/many/", "/64k.bin"):
            subprocess.run([*curl, version, server.url(path)], timeout=20, check=True)
        subprocess.run([*curl, version, "--range", "0-1000000", server.url("/big.bin")], timeout=20, check=True)


class Run:
    """An attack under way, and its minute afterwards, which passes while others begin."""

    def __init__(self, peer, name, options):
        self.peer, self.name, self.options = peer, name, options
        self.server = peer.start(options.place, options.place.ecdsa,
                                 connections=CONNECTIONS_MAX.get(name, CONNECTIONS_MAX_OTHERWISE))
        self.attacker = self.minute = None
        try:
            self.strike()
        except BaseException:
            self.end()
            raise

    def strike(self):
        options, server = self.options, self.server
        warm(server)
        innocent = Innocent(server)
        try:
            time.sleep(WARMING)
            begin = time.monotonic()
            time.sleep(options.before)
            before = Snapshot(server)
            watch, cpu = Watch(server), server.cpu()
            self.attacker = subprocess.Popen(
                ["taskset", "-c", str(system.LOAD_CORE), "nice", "-n", "5", sys.executable, "-m", "strain.attacks",
                 self.name, str(server.port), str(options.attack)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=BENCH)
            self.attacker.stdout.readline()
            attacked = time.monotonic()
            # The rest comes when it is over; the line is short enough for the pipe.
            told = self.attacker.stdout.readline()
            over = time.monotonic()
            cpu = server.cpu() - cpu
            if not told:
                raise self.why()
            time.sleep(AFTER)
        finally:
            innocent.stop()
        cpu_after = server.cpu()
        self.result = {
            "attacker": json.loads(told), "seconds": over - attacked, "innocent_preferred": innocent.preferred,
            "before": innocent.between(begin, attacked), "during": innocent.between(attacked, over),
            "after": innocent.between(over, over + AFTER), "held_before": before.plain(), "cpu_s": cpu,
        }
        self.minute = threading.Thread(target=self.wait, args=(watch, over, cpu_after), daemon=True)
        self.minute.start()

    def why(self):
        self.attacker.wait(10)
        text = self.attacker.stderr.read().strip()
        if "no HTTP/2" in text or "no libssl" in text:
            return DoesNotFit(text.splitlines()[-1])
        return RuntimeError(f"the attack failed: {text[-600:]}")

    def wait(self, watch, over, cpu_after):
        minute = max(self.options.minute, LOOK_AFTER.get(self.name, 0)) if self.options.minute >= 60 else self.options.minute
        time.sleep(max(0, over + minute - time.monotonic()))
        after = Snapshot(self.server)
        watch.stop()
        self.result |= {"rss_peak": watch.rss_max, "descriptors_peak": watch.descriptors_max,
                        "held_after": after.plain(), "cpu_afterwards_s": self.server.cpu() - cpu_after,
                        "looked_after_s": minute, "alive": self.server.process.poll() is None}
        self.end()

    def end(self):
        if self.attacker and self.attacker.poll() is None:
            self.attacker.kill()
            self.attacker.wait()
        self.server.__exit__()

    def finish(self):
        self.minute.join()
        return self.result
