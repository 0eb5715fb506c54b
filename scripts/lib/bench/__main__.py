"""`scripts/bench`: measures every chosen mode and peer under every chosen load, prints tables, writes docs/benchmarks.md."""

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
import crowd
import measure
import path
import report
from modes import MODES
from peers import PEERS
from processes import Failure

DOCUMENT = Path("docs/benchmarks.md")
CHART = Path("docs/benchmarks.svg")
RESULTS = Path("target/bench/results.json")
SECTIONS = [*measure.LOADS, "dispatch", "memory", "path"]


class Context:
    """What every measurement needs: where things are, and how long to look."""

    def __init__(self, options):
        self.folder = Path(os.environ["BENCH_FOLDER"])
        self.mcpctl = str(Path(os.environ["BENCH_MCPCTL"]).resolve())
        self.postgres = os.environ["BENCH_POSTGRES"]
        self.postgres_data = os.environ["BENCH_POSTGRES_DATA"]
        self.psql = os.environ["BENCH_PSQL"]
        self.redis = os.environ["BENCH_REDIS"]
        quick = options.quick
        self.rounds = options.rounds or (1 if quick else 3)
        self.seconds = options.seconds or (3 if quick else 10)
        self.warm_up = 1 if quick else 3
        self.streams = tuple(map(int, options.streams.split(","))) if options.streams else (1, 64) if quick else ()
        self.queued = [1, 1_000] if quick else [1, 10_000]
        if options.million:
            self.queued.append(1_000_000)
        self.queued_for_memory = 1_000 if quick else 10_000
        self.watchers = 1_000

    def chosen(self, loads, names):
        """Of `{load: streams}` those that were asked for, with the streams that were asked for."""
        known = {name: streams for name, streams in loads.items() if name in names}
        if not self.streams:
            return known
        # What is measured at one number of streams only is measured at that one.
        return {name: streams if len(streams) == 1 else self.streams for name, streams in known.items()}

    @staticmethod
    def say(text):
        print(f"bench: {text}", file=sys.stderr, flush=True)


def chosen(text, known):
    """A list of names, each of which must be known."""
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name}: expected some of {', '.join(known)}")
    return names


def options():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short and coarse; nothing is written")
    parser.add_argument("--modes", type=lambda text: chosen(text, MODES), default=list(MODES),
                        help=f"some of {','.join(MODES)}")
    parser.add_argument("--peers", type=lambda text: chosen(text, PEERS), default=[],
                        help=f"gateways to measure in the same run, installed below target/bench: some of "
                             f"{','.join(PEERS)}")
    parser.add_argument("--loads", type=lambda text: chosen(text, SECTIONS), default=SECTIONS,
                        help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--streams", default="", help="streams at a time instead of each load's own, such as 1,64")
    parser.add_argument("--rounds", type=int, help="of which the median is taken (3)")
    parser.add_argument("--seconds", type=float, help="of each round (10)")
    parser.add_argument("--million", action="store_true", help="dispatch beside a million queued runs, too")
    parser.add_argument("--write", action=argparse.BooleanOptionalAction,
                        help=f"put the tables into {DOCUMENT}; by default unless --quick")
    return parser.parse_args()


def main():
    chosen_options = options()
    context = Context(chosen_options)
    for name in chosen_options.peers:
        PEERS[name].install(context)
    provider = measure.Provider(context)
    results = {"environment": environment(context), "modes": {}, "peers": {}}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    try:
        for name in chosen_options.modes:
            results["modes"][name] = mode_results(context, MODES[name], provider, chosen_options.loads)
            # What was measured is not lost with what comes after it.
            RESULTS.write_text(json.dumps(results, indent=1))
        for name in chosen_options.peers:
            results["peers"][name] = peer_results(context, PEERS[name], provider, chosen_options.loads)
            RESULTS.write_text(json.dumps(results, indent=1))
    finally:
        provider.process.stop()
    tables = report.markdown(results)
    print(tables)
    write = chosen_options.write if chosen_options.write is not None else not chosen_options.quick
    if write:
        picture = f"![First token and runs a second, the product beside the provider alone]({CHART.name})"
        report.replace(DOCUMENT, f"{picture}\n\n{tables}")
        CHART.write_text(chart.svg(results))
        context.say(f"wrote {DOCUMENT} and {CHART}; every figure is in {RESULTS}")


def mode_results(context, mode_class, provider, sections):
    found = {"title": mode_class.title, "loads": [], "dispatch": [], "memory": None, "path": None}
    after_load = {}
    loads = context.chosen({name: streams for name, (_, streams) in measure.LOADS.items()}, sections)
    if loads:
        with mode_class(context, {**measure.LIMITS, "MCP_SIMULATOR_URL": provider.url}) as mode:
            found["loads"] = measure.loads(context, mode, measure.through_product(mode), provider, loads)
            after_load = mode.memory()
    if "path" in sections:
        found["path"] = path.path(context, mode_class, provider, measure.LIMITS)
    if "dispatch" in sections:
        found["dispatch"] = crowd.dispatch(context, mode_class, provider)
    if "memory" in sections:
        found["memory"] = crowd.memory(context, mode_class, provider, after_load)
    return found


def peer_results(context, peer_class, provider, sections):
    with peer_class(context, provider.url) as peer:
        loads = context.chosen(measure.PEER_LOADS, sections)
        idle = peer.memory()
        found = measure.loads(context, peer, measure.through_peer(peer), provider, loads)
        return {
            "title": f"{peer.title} {peer.version}",
            "loads": found,
            "memory": {"idle": idle, "after_load": peer.memory()},
        }


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
        "redis": re.sub(r".*?v=(\S+).*", r"\1", run(context.redis, "--version")),
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
