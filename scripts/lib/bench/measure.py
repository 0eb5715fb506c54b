"""Loads in turns: straight to the provider, then through what is measured; the median of several rounds."""

import json
import resource
import statistics
import subprocess
import urllib.request

from peers import KEY
from processes import Failure, Process, cpu_seconds

#: name: (arguments of `mcpctl bench`, streams at a time)
LOADS = {
    "paced": (("paced", "--arrivals", "spread"), (64, 256)),
    "wave": (("paced", "--arrivals", "wave"), (64, 256)),
    "flat": (("flat",), (1, 16, 64, 256)),
    "noop": (("noop",), (1, 64)),
    "whole": (("flat", "--whole"), (1,)),
}
#: name: streams at a time. Those loads only that say something about a gateway without a queue.
PEER_LOADS = {"paced": (64, 256), "flat": (64,), "whole": (1,)}

#: Nothing runs into a limit that is not measured.
LIMITS = {"MCP_MAX_QUEUED_PER_TENANT": "10000000", "MCP_MAX_QUEUED": "10000000"}


class Provider:
    """The simulator."""

    def __init__(self, context):
        self.process = Process("simulate", [context.mcpctl, "simulate", "--port", "0"], {}, context.folder)
        self.url = self.process.says(r"(http://\S+/v1)")

    def stats(self):
        self.process.check()
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/simulator/stats") as answer:
            return json.load(answer)


def timing(context):
    """How long the generator measures."""
    return ["--duration", f"{context.seconds}s", "--warmup", f"{context.warm_up}s"]


def bench(context, arguments, keys=None):
    """Runs the generator to its end, and returns its report."""
    command = [context.mcpctl, "bench", *arguments, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env=keys or {}, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: {done.stderr}")
    report = json.loads(done.stdout)
    report["doubt"] = done.stderr.strip()
    return report


def through_product(mode):
    """How a load is sent through the product."""
    return lambda name, arguments: ([*arguments, "--server", mode.url], {})


def through_peer(peer):
    """How a load is sent through a gateway."""
    def way(name, arguments):
        alias = LOADS[name][0][0]
        return [*arguments, "--direct", peer.url, *peer.arguments(alias)], {"OPENAI_API_KEY": KEY}
    return way


def loads(context, measured, way, provider, chosen):
    """Each load with each number of streams. `chosen` is name: streams; `measured` is a mode or a peer."""
    results = []
    for name, streams in chosen.items():
        for concurrency in streams:
            arguments = [*LOADS[name][0], "-c", str(concurrency), *timing(context)]
            rounds = {"direct": [], "through": []}
            for number in range(context.rounds):
                context.say(f"{measured.name}: {name} {concurrency}, round {number + 1} of {context.rounds}")
                direct = [*arguments, "--direct", provider.url]
                rounds["direct"].append(_observed(context, direct, {}, provider, dict))
                rounds["through"].append(_observed(context, *way(name, arguments), provider, measured.cpu))
            results.append({
                "load": name,
                "concurrency": concurrency,
                **{side: median_of(reports) for side, reports in rounds.items()},
            })
    return results


def _observed(context, arguments, keys, provider, cpu):
    """The generator's report with everybody's CPU, by the runs and tokens that the provider answered meanwhile."""
    def now():
        return {**cpu(), "generator": _children_seconds(), "provider": cpu_seconds(provider.process.pid)}

    stats, spent = provider.stats(), now()
    report = bench(context, arguments, keys)
    used = {process: seconds - spent[process] for process, seconds in now().items()}
    answered = provider.stats()
    runs, tokens = (max(answered[name] - stats[name], 1) for name in ("completed", "tokens"))
    report["cpu_ms_per_run"] = {process: 1e3 * seconds / runs for process, seconds in used.items()}
    report["cpu_us_per_token"] = {process: 1e6 * seconds / tokens for process, seconds in used.items()}
    return report


def _children_seconds():
    """User and system time of children that have ended: between two calls, of the generator."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def median_of(reports):
    """One report with the median of every figure of several; maxima are the greatest, failures the sum."""
    first = reports[0]
    if isinstance(first, dict):
        names = {name: None for report in reports for name in report}
        columns = {name: [report[name] for report in reports if name in report] for name in names}
        special = {"max": max, "failed": sum}
        return {name: special.get(name, median_of)(values) for name, values in columns.items()}
    if isinstance(first, (int, float)) and not isinstance(first, bool):
        return statistics.median(reports)
    return first
