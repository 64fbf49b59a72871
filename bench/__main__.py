"""`make bench` and its kin: measure, write docs/performance/*.json and the page, and print it."""

import sys
from importlib import import_module

from bench.load import PROJECT, BenchError, wrk
from bench.ours import growth, measure, progress
from bench.report import write_report
from bench.results import other_load, save

HONESTY = ("bench.drift_honesty", "bench.quality_honesty", "bench.gate_honesty")
"""What shows how often alerts and the gate are wrong about honest data; each writes its page's tables."""


def main(kind: str) -> None:
    if kind == "ours":
        wrk()
        busy = other_load()
        save("ours", measure(progress), busy, growth=growth(progress))
    elif kind == "drift":
        import_module("bench.drift").run(progress)
        return
    elif kind == "size":
        import_module("bench.size").run(progress, sys.argv[2:])
        return
    elif kind == "honesty":
        for module in HONESTY:
            import_module(module).run(progress)
        return
    elif kind in ("peers", "cluster", "overload"):
        modules = {"peers": "bench.against", "cluster": "bench.cluster", "overload": "bench.overload"}
        import_module(modules[kind]).run(progress)
    elif kind != "report":
        raise BenchError(
            f"there is nothing to measure under the name '{kind}': "
            "ours, peers, cluster, overload, drift, honesty, size or report"
        )
    write_report()
    print((PROJECT / "docs" / "performance.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "ours")
    except BenchError as error:
        sys.exit(f"error: {error}")
