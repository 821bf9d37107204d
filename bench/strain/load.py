"""10,000 connections held while handshakes arrive: for how long, with what errors, and what it does to somebody else."""

import json
import subprocess
import sys
import time

from measure import peers, system
from measure.peers import BENCH, HANDFAST

from .beside import AFTER, WARMING, Innocent, warm
from .watch import Snapshot, Watch

# The server and all that ask it share two cores. If what is asked for is more than they do, the next lower one is taken.
RATES = [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100]
TRIAL = 5
# It holds a rate when it does this share of it, nothing fails, and nobody waits for longer than this.
SHARE, P99_MAX_MS = 0.98, 1000

# With `measure`'s settings, whose time limits for idle connections are longer than the time between two requests.
PEERS = {peer.name: peer for peer in peers.PEERS if peer.name in ("handfast", "nginx", "h2o")}


def handshakes(server, rate, seconds):
    """New connections at this rate: a full handshake, a request for 4 KiB, the end."""
    command = ["taskset", "-c", str(system.LOAD_CORE), HANDFAST, "bench", "--quiet", "--json", "--http1.1", "--handshake",
               "full", "--groups", "x25519", "--insecure", "-t", "1", "-c", "256", "--timeout", "10s", "--rate",
               str(rate), "-d", f"{seconds}s", server.url("/4k.bin")]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process):
    out, err = process.communicate()
    try:
        seen = json.loads(out[out.index("{"):])
    except ValueError:
        raise RuntimeError(f"handfast bench: {err[-300:]}") from None
    return {"per_s": seen["requests_per_second"], "complete": seen["requests"]["complete"],
            "failures": {one["id"]: one["count"] for one in seen["failures"]}, "statuses": seen["statuses"],
            "p50_ms": seen["latency"]["p50_ms"], "p99_ms": seen["latency"]["p99_ms"]}


def highest_rate(server, wanted, say):
    for rate in [wanted, *(rate for rate in RATES if rate < wanted)]:
        seen = told(handshakes(server, rate, TRIAL))
        holds = seen["per_s"] >= SHARE * rate and not seen["failures"] and seen["p99_ms"] < P99_MAX_MS
        say(f"  {rate} handshakes a second: {seen['per_s']:.0f} done, p99 {seen['p99_ms']:.0f} ms"
            + ("" if holds else ": more than this machine does"))
        if holds:
            return rate
    raise RuntimeError("no rate is held")


def minutes(samples, began):
    """A sample a minute: whether memory or descriptors grow."""
    chosen, due = [], began
    for at, rss, descriptors in samples:
        if at >= due:
            chosen.append({"second": round(at - began), "rss": rss, "descriptors": descriptors})
            due += 60
    return chosen


def run(name, options, say):
    system.raise_limits()
    with PEERS[name].start(options.place, options.place.ecdsa) as server:
        warm(server)
        innocent = Innocent(server)
        holder = None
        try:
            time.sleep(WARMING)
            begin = time.monotonic()
            time.sleep(options.before)
            unloaded, before = time.monotonic(), Snapshot(server)
            watch = Watch(server)
            holder = subprocess.Popen(
                ["taskset", "-c", str(system.LOAD_CORE), sys.executable, "-m", "strain.hold", str(server.port),
                 str(options.held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=BENCH)
            word = holder.stdout.readline().split()
            if not word:
                raise RuntimeError("the connections could not be held")
            idle, holding = Snapshot(server), time.monotonic()
            say(f"{name}: {word[1]} connections held, {idle.rss / 1e6:.0f} MB")
            rate = highest_rate(server, options.rate, say)
            cpu, began = server.cpu(), time.monotonic()
            seen = told(handshakes(server, rate, options.seconds))
            over, loaded = time.monotonic(), Snapshot(server)
            cpu = server.cpu() - cpu
            held, _ = holder.communicate(timeout=90)
            left = time.monotonic()
            time.sleep(AFTER)
        finally:
            if holder and holder.poll() is None:
                holder.kill()
                holder.wait()
            innocent.stop()
        time.sleep(max(0, left + options.minute - time.monotonic()))
        after = Snapshot(server)
        watch.stop()
    return {
        "wanted": options.rate, "rate": rate, "seconds": over - began, "handshakes": seen, "holder": json.loads(held),
        "innocent_preferred": innocent.preferred,
        "before": innocent.between(begin, unloaded), "held": innocent.between(holding, holding + TRIAL),
        "during": innocent.between(began, over), "after": innocent.between(left, left + AFTER),
        "at": {"before": before.plain(), "held": idle.plain(), "end": loaded.plain(), "after": after.plain()},
        "rss_peak": watch.rss_max, "descriptors_peak": watch.descriptors_max, "cpu_s": cpu,
        "minutes": minutes(watch.samples, began),
    }
