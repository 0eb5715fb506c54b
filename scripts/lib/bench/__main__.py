"""`scripts/bench`: measures every chosen mode under every chosen load, prints tables, and writes docs/benchmarks.md."""

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path

import chart
import measure
import report
from modes import MODES
from processes import Failure

DOCUMENT = Path("docs/benchmarks.md")
CHART = Path("docs/benchmarks.svg")
RESULTS = Path("target/bench/results.json")
SECTIONS = [*measure.LOADS, "dispatch", "memory"]


class Context:
    """What every measurement needs: where things are, and how long to look."""

    def __init__(self, options):
        self.folder = Path(os.environ["BENCH_FOLDER"])
        self.mcpctl = str(Path(os.environ["BENCH_MCPCTL"]).resolve())
        self.postgres = os.environ["BENCH_POSTGRES"]
        self.postgres_data = os.environ["BENCH_POSTGRES_DATA"]
        self.psql = os.environ["BENCH_PSQL"]
        quick = options.quick
        self.rounds = options.rounds or (1 if quick else 3)
        self.seconds = options.seconds or (3 if quick else 10)
        self.warm_up = 1 if quick else 3
        self.streams = tuple(map(int, options.streams.split(","))) if options.streams else (64,) if quick else ()
        self.queued = [1, 1_000] if quick else [1, 10_000]
        if options.million:
            self.queued.append(1_000_000)
        self.fill_rate = options.fill_rate
        self.queued_for_memory = 1_000 if quick else 10_000
        self.watchers = 1_000

    @staticmethod
    def say(text):
        print(f"bench: {text}", file=sys.stderr, flush=True)


def chosen(text, known):
    """A list of names, each of which must be known."""
    names = text.split(",") if text else list(known)
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name}: expected some of {', '.join(known)}")
    return names


def options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short and coarse; nothing is written")
    parser.add_argument("--modes", type=lambda text: chosen(text, MODES), default=list(MODES),
                        help=f"some of {','.join(MODES)}")
    parser.add_argument("--loads", type=lambda text: chosen(text, SECTIONS), default=SECTIONS,
                        help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--streams", default="", help="streams at a time instead of each load's own, such as 1,64")
    parser.add_argument("--rounds", type=int, help="of which the median is taken (3)")
    parser.add_argument("--seconds", type=float, help="of each round (10)")
    parser.add_argument("--million", action="store_true", help="dispatch beside a million queued runs, too")
    parser.add_argument("--fill-rate", type=int, default=500,
                        help="runs a second that can be handed in for sure while a queue is filled (500)")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction,
                        help=f"put the tables into {DOCUMENT}; by default unless --quick")
    return parser.parse_args()


def main():
    chosen_options = options()
    context = Context(chosen_options)
    names = [name for name in chosen_options.loads if name in measure.LOADS]
    provider = measure.Provider(context)
    results = {"environment": environment(context), "modes": {}}
    try:
        for name in chosen_options.modes:
            results["modes"][name] = mode_results(context, MODES[name], provider, names, chosen_options.loads)
    finally:
        provider.process.stop()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    tables = report.markdown(results)
    print(tables)
    write = chosen_options.write if chosen_options.write is not None else not chosen_options.quick
    if write:
        picture = f"![First token and runs a second, the product beside the provider alone]({CHART.name})"
        report.replace(DOCUMENT, f"{picture}\n\n{tables}")
        CHART.write_text(chart.svg(results))
        context.say(f"wrote {DOCUMENT} and {CHART}; every figure is in {RESULTS}")


def mode_results(context, mode_class, provider, names, sections):
    found = {"title": mode_class.title, "loads": [], "dispatch": [], "memory": None}
    after_load = {}
    if names:
        with mode_class(context, provider.url, measure.LIMITS) as mode:
            found["loads"] = measure.loads(context, mode, provider, names)
            after_load = mode.memory()
    if "dispatch" in sections:
        found["dispatch"] = measure.dispatch(context, mode_class, context.queued)
    if "memory" in sections:
        found["memory"] = measure.memory(context, mode_class, provider, after_load)
    return found


def environment(context):
    """What the figures depend on."""
    def run(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    processor = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
    return {
        "processor": processor.group(1) if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory.group(1)) / 1024 / 1024),
        "kernel": platform.release(),
        "postgres": run(context.psql, "--version").removeprefix("psql (PostgreSQL) ").split(" ")[0],
        "mcpctl": run(context.mcpctl, "--version").removeprefix("mcpctl "),
        "revision": run("git", "describe", "--always", "--dirty"),
        "rounds": context.rounds,
        "seconds": context.seconds,
        "load_average": os.getloadavg()[0],
    }


def ended(*_):
    # Through every `finally` and `with`, so that nothing is left running.
    raise SystemExit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended)
    try:
        main()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
