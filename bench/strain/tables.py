"""The figures as Markdown, each with its verdict on what was aimed at."""

from .attacks import ATTACKS

OURS = "handfast"

# What is aimed at: a client's wait under attack against its wait before; memory a minute later against before.
P99_RATIO_MAX, MEMORY_RATIO_MAX = 3.0, 1.10
# Files that are kept open for a moment are no leak; a socket is.
FILES_KEPT_MAX = 4


def ms(value):
    if value is None:
        return "none"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms"


def mb(value):
    return f"{value / 1e6:.1f}" if value < 1e8 else f"{value / 1e6:.0f}"


def ratio(result):
    before, during = result["before"]["p99_ms"], result["during"]["p99_ms"]
    return during / before if before and during else float("inf")


def left(result):
    """Sockets, and other descriptors, that are there a minute later and were not before."""
    sockets = result["held_after"]["sockets"] - result["held_before"]["sockets"]
    every = result["held_after"]["descriptors"] - result["held_before"]["descriptors"]
    return max(0, sockets), max(0, every - sockets)


def memory_ratio(result):
    return result["held_after"]["rss"] / result["held_before"]["rss"]


def verdicts(result):
    """For each target, whether it is met."""
    sockets, files = left(result)
    return {"p99": ratio(result) <= P99_RATIO_MAX and not result["during"]["failed"],
            "memory": memory_ratio(result) <= MEMORY_RATIO_MAX,
            "descriptors": sockets == 0 and files <= FILES_KEPT_MAX, "alive": result["alive"]}


def attack_line(result):
    before, during = result["before"], result["during"]
    missed = [name for name, good in verdicts(result).items() if not good]
    return (f"p99 {ms(before['p99_ms'])} before, {ms(during['p99_ms'])} under attack ({during['failed']} of "
            f"{during['requests']} failed); {mb(result['held_before']['rss'])} MB, at most {mb(result['rss_peak'])}, "
            f"{mb(result['held_after']['rss'])} a minute later; {sum(left(result))} descriptors left; "
            f"{result['cpu_s']:.1f} s of processor time; " + (f"MISSED: {', '.join(missed)}" if missed else "all targets met"))


def load_line(result):
    return (f"{result['rate']} a second for {result['seconds']:.0f} s, failures {result['handshakes']['failures'] or 'none'}, "
            f"lost {result['holder']['lost'] or 'none'}; p99 {ms(result['before']['p99_ms'])}, "
            f"{ms(result['during']['p99_ms'])}, {ms(result['after']['p99_ms'])}")


def row(cells):
    return "| " + " | ".join(cells) + " |"


def marked(text, good):
    return text if good else f"**{text}**"


def attack_row(name, result):
    if isinstance(result, str):
        return row([name, result, *[""] * 6])
    good, (sockets, files) = verdicts(result), left(result)
    during, seen = result["during"], result["attacker"]
    failed = f", {during['failed']} of {during['requests']} failed" if during["failed"] else ""
    cut = seen.get("cut", 0)
    return row([
        name,
        ms(result["before"]["p99_ms"]),
        marked(f"{ms(during['p99_ms'])} ({ratio(result):.1f}x{failed})", good["p99"]),
        ms(result["after"]["p99_ms"]),
        marked(f"{mb(result['held_before']['rss'])} / {mb(result['rss_peak'])} / {mb(result['held_after']['rss'])}",
               good["memory"]),
        marked(f"{sockets} + {files}", good["descriptors"]) + ("" if result["alive"] else " **(it has ended)**"),
        f"{result['cpu_s']:.1f} + {result['cpu_afterwards_s']:.1f} s",
        f"{seen.get('connections', 0):,} connections" + (f", {cut:,} cut" if cut else ""),
    ])


def description(name):
    text = " ".join((ATTACKS[name].__doc__ or "").split())
    return text[0].lower() + text[1:].split(". ")[0].rstrip(".") if text else ""


def attacks(results):
    for name, peers in results.items():
        if not peers:
            continue
        waited = {round(result["looked_after_s"]) for result in peers.values() if isinstance(result, dict)} - {60}
        later = f" (\"a minute later\" is {waited.pop()} s here)" if waited else ""
        yield f"**{name}**: {description(name)}{later}\n"
        yield row(["server", "p99 before", "p99 under attack", "p99 after", "memory, MB: before / peak / a minute later",
                   "left: sockets + files", "processor time + afterwards", "the attacker had"])
        yield row(["---"] * 8)
        for peer, result in peers.items():
            yield attack_row(peer, result)
        yield ""


def summary(results):
    ours = {name: peers[OURS] for name, peers in results.items() if isinstance(peers.get(OURS), dict)}
    if not ours:
        return
    yield f"Targets that handfast meets, of {len(ours)} attacks:\n"
    for key, words in (("p99", f"the well-behaved client's p99 under attack within {P99_RATIO_MAX:.0f}x of before"),
                       ("memory", "memory within 10% of before a minute later"),
                       ("descriptors", f"no socket left, and no more than {FILES_KEPT_MAX} files kept open")):
        missed = [name for name, result in ours.items() if not verdicts(result)[key]]
        yield f"- {words}: {len(ours) - len(missed)}" + (f"; not in {', '.join(missed)}" if missed else "")
    yield ""


def load(results):
    rows = {name: result for name, result in results.items() if isinstance(result, dict)}
    for name, result in results.items():
        if isinstance(result, str):
            yield f"{name}: {result}\n"
    for name, result in rows.items():
        seen, holder, at = result["handshakes"], result["holder"], result["at"]
        less = "" if result["rate"] == result["wanted"] else (
            f" ({result['wanted']} were wanted; {result['rate']} is what this machine does with server, load and clients on it)")
        yield (f"**{name}**: {holder['opened']:,} connections held, {result['rate']:,} handshakes a second for "
               f"{result['seconds']:.0f} s{less}.\n")
        yield (f"- Handshakes: {seen['complete']:,} complete, failures: {seen['failures'] or 'none'}; p50 {ms(seen['p50_ms'])}, "
               f"p99 {ms(seen['p99_ms'])}, from when each was due.")
        yield (f"- Held connections: {holder['requests']:,} requests on them meanwhile, lost: {holder['lost'] or 'none'}; "
               f"{holder['held_at_the_end']:,} were there at the end.")
        yield f"- Processor time of the server: {result['cpu_s'] / result['seconds']:.0%} of its core.\n"
        yield row(["", "before", f"{holder['opened']:,} held", "during", "after"])
        yield row(["---"] * 5)
        phases = [result[phase] for phase in ("before", "held", "during", "after")]
        yield row(["well-behaved client: p50", *(ms(phase["p50_ms"]) for phase in phases)])
        yield row(["p99", *(ms(phase["p99_ms"]) for phase in phases)])
        yield row(["failed, of its requests", *(f"{phase['failed']} of {phase['requests']:,}" for phase in phases)])
        looks = [at[when] for when in ("before", "held", "end", "after")]
        yield row(["memory, MB (RSS)", *(mb(look["rss"]) for look in looks)])
        yield row(["memory, MB (PSS)", *(mb(look["pss"]) for look in looks)])
        yield row(["descriptors", *(f"{look['descriptors']:,}" for look in looks)])
        course = ", ".join(f"{mb(one['rss'])} ({one['descriptors']:,})" for one in result["minutes"])
        yield f"\nMinute by minute, memory in MB (descriptors): {course}. \"After\" is a minute after all had gone.\n"


def faults(results):
    for name, result in results.items():
        if isinstance(result, str):
            yield f"- {name}: {result}"
        elif name == "killed":
            yield (f"- `handfast get` killed (SIGKILL) at {result['points']} points of a download, over each version of HTTP, and "
                   f"of an upload: {result['said']}.")
        elif name == "clients-vanish":
            course = ", ".join(f"{one['sockets']} after {one['second']:.0f} s" for one in result["course"])
            yield (f"- {result['clients']} clients whose link goes down (idle, in a head, in a reply, a third each): "
                   f"connections that the server still holds: {course}.")
        else:
            yield (f"- `handfast get` of a server whose link goes down in the middle of a body: exit {result['code']} after "
                   f"{result['seconds']:.0f} s, \"{result['said']}\"; a file under the final name: "
                   + ("**yes**" if result["named"] else "none") + ".")


def document(plain):
    told = plain["meta"]
    lines = [f"{told['date']}; {told['machine']}, {told['cores']} cores, Linux {told['kernel']}; revision {told['revision']}.\n"]
    lines += [f"- {name}: {version}" for name, version in told["versions"].items()]
    lines += [f"- {name}: {why}" for name, why in plain["missing"].items()]
    lines.append("")
    if plain["attacks"]:
        lines += ["### Attacks\n", *summary(plain["attacks"]), *attacks(plain["attacks"])]
    if plain["load"]:
        lines += ["### Load\n", *load(plain["load"])]
    if plain["faults"]:
        lines += ["### Links that go down, and `kill -9`\n", *faults(plain["faults"]), ""]
    return "\n".join(lines) + "\n"
