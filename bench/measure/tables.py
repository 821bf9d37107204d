"""The results as Markdown: for each workload the peers, their spread, and how each stands to the best of the others."""

import statistics

OURS = ("handfast", "handfast get", "handfast bench")


def spread(values):
    return statistics.median(values), min(values), max(values)


def number(value):
    """Three digits that mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def quantity(value, key, unit):
    if key == "bytes":
        return f"{number(value / 1024)} KiB"
    if unit == "GiB":
        return f"{value / 1e6:.3f} s"
    return f"{number(value / 1e3)} ms" if value >= 1000 else f"{number(value)} us"


def ranged(show, middle, low, high):
    return show(middle) if low == high else f"{show(middle)} ({show(low)} to {show(high)})"


def row(name, runs, key, unit, best, best_rate):
    middle, low, high = spread([run[key] for run in runs])
    show = lambda value: quantity(value, key, unit)
    cells = [ranged(show, middle, low, high), f"{middle / best:.2f}" if best else ""]
    if key == "bytes":
        return [name, *cells, "", "", "", ""]
    rate, slow, fast = spread([run["per_s"] for run in runs])
    cells += [ranged(number, rate, slow, fast), f"{rate / best_rate:.2f}" if best_rate else ""]
    for quantile in ("p50_ms", "p99_ms"):
        seen = [run[quantile] for run in runs if run.get(quantile) is not None]
        cells.append(f"{number(statistics.median(seen))} ms" if seen else "")
    return [name, *cells]


def workload_rows(results, unit):
    """`results`: peer -> runs, or the words for why there are none."""
    measured = {name: runs for name, runs in results.items() if isinstance(runs, list) and runs}
    if not measured:
        return [[name, why if isinstance(why, str) else "not measured", *[""] * 5] for name, why in results.items()]
    key = "bytes" if "bytes" in next(iter(measured.values()))[0] else "cpu_us"
    others = [runs for name, runs in measured.items() if name not in OURS]
    best = min((statistics.median(run[key] for run in runs) for runs in others), default=None)
    best_rate = None
    if key != "bytes":
        best_rate = max((statistics.median(run["per_s"] for run in runs) for runs in others), default=None)
    rows = []
    for name, runs in results.items():
        if name in measured:
            rows.append(row(name, runs, key, unit, best, best_rate))
        else:
            rows.append([name, runs if isinstance(runs, str) else "not measured", *[""] * 5])
    return rows


HEADINGS = {
    "servers": "Servers: processor time of the server",
    "clients": "Clients: processor time of the client",
    "generators": "Generators: processor time of the generator",
}


def group_table(group, workloads, results):
    lines = [f"### {HEADINGS[group]}", "",
             "| workload | who | CPU for each (or memory): median (from to) | to the best other | a second: median "
             "(from to) | to the best other | p50 | p99 |",
             "|---|---|---|---|---|---|---|---|"]
    for name, subjects in results.items():
        workload = workloads[name]
        for index, cells in enumerate(workload_rows(subjects, workload.unit)):
            title = f"**{name}**, per {workload.unit}" if index == 0 else ""
            lines.append("| " + " | ".join([title, *cells]) + " |")
    legend = [f"- `{name}`: {workloads[name].what}" for name in results]
    return "\n".join([*lines, "", *legend, ""])


def scaling_table(curves, cores):
    lines = ["### How cost grows", ""]
    for name, curve in curves.items():
        lines += [f"![{curve['title']}](curve-{name}.svg)", ""]
        xs = sorted({x for line in curve["series"].values() for x, _ in line})
        lines.append(f"| {curve['y_label']} | " + " | ".join(number(x) for x in xs) + " |")
        lines.append("|---" * (len(xs) + 1) + "|")
        for peer, line in curve["series"].items():
            values = dict(map(tuple, line))
            lines.append(f"| {peer} | " + " | ".join(number(values[x]) if x in values else "" for x in xs) + " |")
        lines.append("")
    if cores:
        lines += ["Server and generator together on one core, a thread each; then on two, two threads each:", "",
                  "| work | server | a second on one core | on two | two to one | CPU for each on one | on two |",
                  "|---|---|---|---|---|---|---|"]
        for job, peers in cores.items():
            for peer, runs in peers.items():
                one, two = ({key: statistics.median(run[index][key] for run in runs)
                             for key in ("per_s", "cpu_us")} for index in (0, 1))
                lines.append(f"| {job} | {peer} | {number(one['per_s'])} | {number(two['per_s'])} | "
                             f"{two['per_s'] / one['per_s']:.2f} | {number(one['cpu_us'])} us | "
                             f"{number(two['cpu_us'])} us |")
        lines.append("")
    return "\n".join(lines)


def document(report, groups):
    meta = report["meta"]
    passes = "one pass" if meta["passes"] == 1 else f"up to {meta['passes']} passes"
    quick = "; a quick run, which leaves workloads out and has a quarter of the gibibyte" if meta["quick"] else ""
    lines = [f"{meta['date']}; {meta['machine']}, {meta['cores']} cores, Linux {meta['kernel']}; revision "
             f"{meta['revision']}; {passes} over everything, the peers next to each other in each{quick}.", ""]
    lines += [f"- {name}: {version}" for name, version in report["versions"].items()]
    lines += [f"- {name}: {why}" for name, why in report["missing"].items()]
    lines.append("")
    for group, results in report["results"].items():
        if results:
            lines.append(group_table(group, groups[group], results))
    if report["curves"] or report["cores"]:
        lines.append(scaling_table(report["curves"], report["cores"]))
    return "\n".join(lines).rstrip() + "\n"
