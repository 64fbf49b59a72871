"""Writes docs/performance.md and its plots from what was measured."""

from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from bench.load import PROJECT
from bench.results import FOLDER, Measurement, load, measurements

mpl.rcParams["svg.hashsalt"] = "performance"  # the same measurements give the same bytes
mpl.rcParams["svg.fonttype"] = "none"
PLAIN = {"Date": None, "Creator": None}

AXES = {
    "connections": ("connections", "requests a second"),
    "rows": ("rows in a batch, one connection", "rows a second"),
    "features": ("features of the model", "requests a second"),
    "replicas": ("pods", "requests a second"),
}


def write_report() -> None:
    """Write the page and its plots from every kind of measurements that there is."""
    (PROJECT / "docs" / "performance.md").write_text(page(), encoding="utf-8")
    for kind, name in (("ours", "growth"), ("cluster", "replicas")):
        if measured := load(kind):
            plot_growth(name, measured["growth"])
    if measured := load("peers"):
        plot_peers(measured["peers"])
    if measured := load("overload"):
        plot_overload(measured["curves"])


def page() -> str:
    """Return docs/performance.md."""
    parts: list[str] = [
        "# Performance",
        "",
        "Written by `make bench`, `make bench-peers`, `make bench-overload` and `make bench-cluster` from `docs/performance/*.json`; do not edit.",
        "wrk puts the load on from a process of its own; CPU is that of all of the server's processes. Servers that are",
        "compared run side by side, and take turns in rounds: each value is the median of its rounds, with the lowest and",
        "the highest beside it. A difference whose rounds lie on both sides of zero is not measurable: noise hides it.",
        "Between machines, compare ratios, not absolute times. p99 beside a candidate comes from `bench/client.py`, which",
        "works like wrk but does not correct for pauses of the machine.",
        "",
    ]
    parts += ours()
    parts += peers()
    if measured := load("overload"):
        parts += overload(measured)
    parts += cluster()
    return "\n".join(parts).rstrip() + "\n"


def ours() -> Iterator[str]:
    measured = load("ours")
    if measured is None:
        return
    yield "## This server"
    yield ""
    yield from table(measurements(measured))
    yield described(measured)
    yield ""
    yield "### How cost grows"
    yield ""
    yield "![Requests a second and p99 against connections, rows and features](performance/growth.svg)"
    yield ""
    for name, points in measured["growth"].items():
        yield from growth_table(name, points)


def peers() -> Iterator[str]:
    measured = load("peers")
    if measured is None:
        return
    every = measured["peers"]
    yield "## Against other servers"
    yield ""
    yield (
        "`make bench-peers`: each in its own environment from `bench/peers/*/requirements.txt`, one worker, the heart model's "
        "scikit-learn pipeline and the same row, 16 connections, three rounds in turns. No request failed."
    )
    yield ""
    yield "| server | CPU a request, as a multiple of ours | lowest to highest round | CPU a request | p50 | p99 | memory | start |"
    yield "|---|---|---|---|---|---|---|---|"
    names = ["ours, second run", *(peer["name"] for peer in every[1:])]
    for name, peer in zip(names, every, strict=True):
        yield (
            f"| {name} ({peer['version']}) | **{number(peer['times'])}** | {number(peer['low'])} to "
            f"{number(peer['high'])} | {peer['cpu'] * 1e6:,.0f} us | {peer['p50'] * 1e3:.2f} ms | "
            f"{peer['p99'] * 1e3:.2f} ms | {peer['memory']:.0f} MiB | {peer['start']:.1f} s |"
        )
    yield ""
    yield "![CPU a request of each server](performance/peers.svg)"
    yield ""
    yield from table(measurements(measured))
    yield described(measured)
    yield ""


def overload(measured: dict[str, Any]) -> Iterator[str]:
    yield "## Under overload"
    yield ""
    yield "`make bench-overload`: requests come by chance at a rate, whatever comes of them, from a process of its own over at"
    yield "most 256 connections. One for which none is idle is not sent, and counts as offered: a server that sheds nothing"
    yield "is spared the rest of its queue. Goodput is answers with 200. What costs allow is what one core could answer beside"
    yield "the refusals: an answer's CPU is measured with 16 connections, a refusal's at twice the peak."
    yield ""
    yield from table(measurements(measured))
    yield "![Goodput and p99 against offered load](performance/overload.svg)"
    yield ""
    for name, points in measured["curves"].items():
        yield f"| {name}: offered a second | goodput | what costs allow | p50 | p99 | shed | not sent |"
        yield "|---|---|---|---|---|---|---|"
        for seen in points:
            p50, p99 = ("" if seen[key] is None else f"{seen[key] * 1e3:.2f} ms" for key in ("p50", "p99"))
            ceiling = f"{seen['ceiling']:,.0f}" if "ceiling" in seen else ""
            yield (
                f"| {seen['offered']:,.0f} | {seen['answered']:,.0f} | {ceiling} | {p50} | {p99} | "
                f"{100 * seen['shed']:.0f} % | {100 * seen['unsent']:.0f} % |"
            )
        yield ""
    yield described(measured)
    yield ""


def cluster() -> Iterator[str]:
    measured = load("cluster")
    if measured is None:
        return
    yield "## On the cluster"
    yield ""
    yield "`make bench-cluster`: the chart's pods on the test cluster, wrk on the NodePort; and a Prometheus that scrapes"
    yield "copies of a pod's page."
    yield ""
    yield from table(measurements(measured))
    yield described(measured)
    yield ""
    yield "![Requests a second and p99 against pods](performance/replicas.svg)"
    yield ""
    for name, points in measured["growth"].items():
        yield from growth_table(name, points)
    yield from fleet(measured["prometheus"])


def fleet(seen: dict[str, Any]) -> Iterator[str]:
    """What 1,000 pods cost Prometheus, by what a hundred were seen to cost."""
    pods, interval = 1000, 15
    series = pods * seen["series"]
    samples = series / interval
    memory = series * seen["bytes_per_series"] / 2**30
    cores = samples * seen["cpu_per_sample"]
    disk = samples * 86_400 * 35 * seen["disk_per_sample"] / 2**30
    traffic = pods * seen["scrape_bytes"] / interval / 2**20
    yield "### 1,000 pods, on paper"
    yield ""
    yield (
        f"Measured: {seen['targets']} targets of {seen['series']} series each, scraped every {seen['interval']} s for "
        f"{seen['seconds']:.0f} s: {seen['cpu_per_sample'] * 1e6:.2f} us of Prometheus's CPU and "
        f"{seen['disk_per_sample']:.2f} bytes of its disk a sample, {seen['bytes_per_series'] / 1024:.1f} KiB of memory a "
        f"series; {seen['scrape_bytes'] / 1024:.0f} KiB a scrape. Multiplied:"
    )
    yield ""
    yield f"| {pods:,} pods, every {interval} s | |"
    yield "|---|---|"
    yield f"| series | {series:,.0f} |"
    yield f"| samples a second | {samples:,.0f} |"
    yield f"| CPU of Prometheus for scraping | {cores:.2f} cores |"
    yield f"| memory of Prometheus for these series | {memory:.1f} GiB, and twice that while it compacts or replays |"
    yield f"| disk for 35 days, which the objectives need | {disk:.0f} GiB |"
    yield f"| scrapes over the network | {traffic:.1f} MiB/s |"
    yield f"| CPU of all pods for being scraped | {pods * seen['pod_cpu'] / interval:.2f} cores |"
    yield ""
    churn = series * 24
    yield (
        "Memory breaks first, and rollouts break it: a pod that is replaced leaves its series in the head block for up to "
        f"three hours, so one rollout of all pods doubles the {memory:.1f} GiB, and one an hour makes {churn:,.0f} series a "
        "day. Queries are next: a quantile over the latency buckets of all pods reads "
        f"{pods * 16 * 4:,} series. What to do then, in this order: let recording rules sum over pods, as "
        "`monitoring/rules/` does, and let dashboards read those alone; drop what nobody asks a single pod for "
        "(`metric_relabel_configs`: the buckets are most of the series); scrape every 30 s; shard targets by `hashmod` over "
        "several Prometheus servers; and send the recorded sums to one long-term store by `remote_write`."
    )
    yield ""


def table(every: Sequence[Measurement]) -> Iterator[str]:
    if not every:
        return
    yield "| what | goal | measured | lowest to highest round |"
    yield "|---|---|---|---|"
    notes: list[str] = []
    for measurement in every:
        mark = ""
        if not measurement.measurable:
            mark = " (not measurable)"
        elif measurement.met is False:
            mark = " (missed)"
            if measurement.reason:
                if measurement.reason not in notes:
                    notes.append(measurement.reason)
                mark = f" (missed, [{notes.index(measurement.reason) + 1}])"
        unit = "" if measurement.unit == "x" else f" {measurement.unit}"
        goal = f"{measurement.goal}{unit}" if measurement.goal else ""
        yield (
            f"| {measurement.what} | {goal} | **{number(measurement.value)}{unit}**{mark} | "
            f"{number(measurement.low)} to {number(measurement.high)} |"
        )
    yield ""
    for place, note in enumerate(notes, 1):
        yield f"[{place}] {note}."
        yield ""


def growth_table(name: str, points: Sequence[Sequence[float]]) -> Iterator[str]:
    across, up = AXES[name]
    yield f"| {across} | {up} | p99 |"
    yield "|---|---|---|"
    for place, rate, p99 in points:
        yield f"| {place:,.0f} | {rate:,.0f} | {p99 * 1e3:.2f} ms |"
    yield ""


def described(measured: dict[str, Any]) -> str:
    machine = measured["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    busy = machine.get("busy_percent_before")
    quiet = (
        "How busy the machine was with other work was not recorded: judge by the spread of the rounds"
        if busy is None
        else f"Other work kept the machine {busy:.0f} % busy before the first round"
    )
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']}; "
        f"Python {machine['python']}; {libraries}. {quiet}."
    )


def number(value: float) -> str:
    """Write a value with about three digits."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def plot_growth(name: str, curves: dict[str, Sequence[Sequence[float]]]) -> None:
    canvas = Canvas(figsize=(4 * len(curves), 3.2), layout="constrained")
    for axes, (curve, points) in zip(
        canvas.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        places, rates, p99s = zip(*points, strict=True)
        across, up = AXES[curve]
        axes.set(
            xlabel=across, ylabel=up, ylim=(0, 1.1 * max(rates)), xticks=places, xticklabels=map(str, places)
        )
        axes.plot(places, rates, "o-", color="tab:blue")
        axes.yaxis.label.set_color("tab:blue")
        if max(places) / min(places) >= 10:
            axes.set_xscale("log")
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.minorticks_off()
        right = axes.twinx()
        right.plot(places, [p99 * 1e3 for p99 in p99s], "s--", color="tab:orange")
        right.set(ylabel="p99 in ms", ylim=(0, 1.1e3 * max(p99s)))
        right.yaxis.label.set_color("tab:orange")
        axes.grid(visible=True, alpha=0.3)
    canvas.savefig(FOLDER / f"{name}.svg", metadata=PLAIN)


def plot_peers(every: Sequence[dict[str, Any]]) -> None:
    canvas = Canvas(figsize=(8, 0.5 + 0.4 * len(every)), layout="constrained")
    axes = canvas.subplots()
    names = [peer["name"] for peer in every][::-1]
    costs = [peer["cpu"] * 1e6 for peer in every][::-1]
    bars = axes.barh(
        names, costs, color=["tab:orange" if name == every[0]["name"] else "tab:blue" for name in names]
    )
    axes.bar_label(bars, [f"{cost:,.0f} us" for cost in costs], padding=4)
    axes.set(xscale="log", xlabel="CPU a request in us, logarithmic", xlim=(10, 4 * max(costs)))
    canvas.savefig(FOLDER / "peers.svg", metadata=PLAIN)


def plot_overload(curves: dict[str, Sequence[dict[str, Any]]]) -> None:
    canvas = Canvas(figsize=(9, 3.6), layout="constrained")
    goodput, slowest = canvas.subplots(1, 2)
    for name, points in curves.items():
        places = [seen["offered"] for seen in points]
        (line,) = goodput.plot(places, [seen["answered"] for seen in points], "o-", label=name)
        if "ceiling" in points[0]:
            ceilings = [seen["ceiling"] for seen in points]
            goodput.plot(places, ceilings, ":", color=line.get_color(), label=f"{name}: what costs allow")
        p99s = [float("nan") if seen["p99"] is None else seen["p99"] * 1e3 for seen in points]
        slowest.plot(places, p99s, "o-")
    for axes, up in ((goodput, "answers with 200 a second"), (slowest, "p99 in ms")):
        axes.set(xscale="log", yscale="log", xlabel="requests offered a second", ylabel=up)
        axes.grid(visible=True, alpha=0.3)
    goodput.legend(fontsize="small")
    canvas.savefig(FOLDER / "overload.svg", metadata=PLAIN)
