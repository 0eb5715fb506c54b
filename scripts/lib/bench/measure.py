"""What is measured: loads in turns with the provider alone, dispatch beside a queue that stands, memory."""

import json
import socket
import statistics
import subprocess
import time
import urllib.request
from urllib.parse import urlsplit

from modes import KEYS
from processes import Failure, Process, cpu_seconds

#: name: (arguments of `mcpctl bench`, streams at a time)
LOADS = {
    "paced": (("paced", "--arrivals", "spread"), (64, 256)),
    "wave": (("paced", "--arrivals", "wave"), (64, 256)),
    "flat": (("flat",), (1, 16, 64, 256)),
    "noop": (("noop",), (1, 64)),
}

#: Runs of one tenant at a time where a queue is to stand; the held calls of the crowd take so many slots.
HELD = 100
AN_HOUR = "3600000"
#: Nothing runs into a limit that is not measured.
LIMITS = {"MCP_MAX_QUEUED_PER_TENANT": "10000000", "MCP_MAX_QUEUED": "10000000"}
PATIENT = {
    "MCP_FIRST_TOKEN_TIMEOUT_MS": AN_HOUR,
    "MCP_BETWEEN_TOKENS_TIMEOUT_MS": AN_HOUR,
    "MCP_TOTAL_TIMEOUT_MS": AN_HOUR,
}
CROWDED = {
    **LIMITS,
    **PATIENT,
    "MCP_MAX_RUNNING_PER_TENANT": str(HELD),
    "MCP_API_KEYS": ",".join(f"{tenant}:{key}" for tenant, key in KEYS.items()),
}


class Provider:
    """The simulator."""

    def __init__(self, context):
        self.process = Process("simulate", [context.mcpctl, "simulate", "--port", "0"], {}, context.folder)
        self.url = self.process.says(r"(http://\S+/v1)")

    def stats(self):
        self.process.check()
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/simulator/stats") as answer:
            return json.load(answer)


def bench(context, arguments, url, key="", direct=False, timing=True):
    """Runs the generator, and returns its report."""
    command = [context.mcpctl, "bench", *arguments, "-o", "json", "--direct" if direct else "--server", url]
    if timing:
        command += ["--duration", f"{context.seconds}s", "--warmup", f"{context.warm_up}s"]
    done = subprocess.run(
        command, capture_output=True, text=True, env={"MCP_API_KEY": key} if key else {}, check=False
    )
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: {done.stderr}")
    report = json.loads(done.stdout)
    report["doubt"] = done.stderr.strip()
    return report


def loads(context, mode, provider, names):
    """Each load, in turns: straight to the provider, then through the product."""
    results = []
    for name in names:
        arguments, streams = LOADS[name]
        for concurrency in context.streams or streams:
            results.append(_load(context, mode, provider, name, [*arguments, "-c", str(concurrency)]))
    return results


def _load(context, mode, provider, name, arguments):
    rounds = {"direct": [], "through": []}
    for number in range(context.rounds):
        context.say(f"{mode.name}: {' '.join(arguments)}, round {number + 1} of {context.rounds}")
        rounds["direct"].append(bench(context, arguments, provider.url, direct=True))
        before, spent, watched = provider.stats(), mode.cpu(), cpu_seconds(provider.process.pid)
        report = bench(context, arguments, mode.url)
        after = provider.stats()
        runs, tokens = after["completed"] - before["completed"], after["tokens"] - before["tokens"]
        used = {process: seconds - spent.get(process, 0) for process, seconds in mode.cpu().items()}
        used["provider"] = cpu_seconds(provider.process.pid) - watched
        report["cpu_ms_per_run"] = {process: 1e3 * seconds / max(runs, 1) for process, seconds in used.items()}
        report["cpu_us_per_token"] = {process: 1e6 * seconds / max(tokens, 1) for process, seconds in used.items()}
        rounds["through"].append(report)
    return {
        "load": name,
        "concurrency": rounds["direct"][0]["concurrency"],
        **{way: median_of(reports) for way, reports in rounds.items()},
    }


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


def dispatch(context, mode_class, queued):
    """From submit to the provider's call, and runs without work, beside a queue of another tenant that stands."""
    address = f"127.0.0.1:{free_port()}"
    results = []
    for waiting in queued:
        with mode_class(context, f"http://{address}/v1", CROWDED) as mode:
            context.say(f"{mode.name}: dispatch beside {waiting} queued runs")
            # The generator is the provider, and holds what the crowd submits: so it has to be there first.
            fill = 3 + waiting / context.fill_rate
            common = ["--answer-on", address, "--duration", f"{context.seconds}s"]
            calls = subprocess.Popen(
                [context.mcpctl, "bench", "noop", "-c", "1", *common, "--warmup", f"{fill}s", "-o", "json",
                 "--server", mode.url],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={"MCP_API_KEY": KEYS["bench"]},
            )
            try:
                await_listener(address)
                began = time.monotonic()
                crowd(context, mode, HELD + waiting)
                late = time.monotonic() - began > fill
                out, errors = calls.communicate()
            finally:
                calls.kill()
            if calls.returncode != 0 or late:
                raise Failure(f"dispatch beside {waiting} runs: {errors or 'the queue took too long to fill'}")
            results.append({
                "queued": waiting,
                "single": json.loads(out),
                "many": bench(context, ["noop", "-c", "64", "--answer-on", address], mode.url, KEYS["bench"]),
            })
    return results


def memory(context, mode_class, provider, after_load):
    """Resident memory: idle, and what a queued run and a watcher add. `after_load` is what a loaded mode had."""
    with mode_class(context, provider.url, CROWDED) as mode:
        context.say(f"{mode.name}: memory")
        time.sleep(2)
        idle, stored = now(mode), mode.stored()
        crowd(context, mode, HELD + context.queued_for_memory)
        time.sleep(2)
        queued = now(mode)
        grown = mode.stored() - stored
        connections = watch(mode, context.watchers)
        time.sleep(2)
        watched = now(mode)
        for connection in connections:
            connection.close()
    return {
        "idle": idle,
        "peak_under_load": {name: peak for name, (_, peak) in after_load.items()},
        "per_queued_run": {name: (queued[name] - idle[name]) / context.queued_for_memory for name in idle},
        "stored_per_queued_run": grown / context.queued_for_memory,
        "per_watcher": {name: (watched[name] - queued[name]) / context.watchers for name in idle},
        "queued": context.queued_for_memory,
        "watchers": context.watchers,
    }


def now(mode):
    """Resident bytes by process."""
    return {name: resident for name, (resident, _) in mode.memory().items()}


def crowd(context, mode, runs):
    """Hands in runs of another tenant: the first of them are held by the provider, the others stay queued."""
    submit = ["submit", "--first", "1h", "--runs", str(runs), "-c", "32"]
    report = bench(context, submit, mode.url, KEYS["crowd"], timing=False)
    if report["failed"]:
        raise Failure(f"the queue could not be filled: {report['errors']}")


def watch(mode, count):
    """Opens so many event streams of a run that stays queued, and reads what each begins with."""
    headers = {"Authorization": f"Bearer {KEYS['crowd']}"}
    request = urllib.request.Request(f"{mode.url}/mcp/v1/requests?status=queued&limit=1", headers=headers)
    with urllib.request.urlopen(request) as answer:
        run = json.load(answer)["requests"][0]["request_id"]
    where = urlsplit(mode.url)
    head = (
        f"GET /mcp/v1/request/{run}/events HTTP/1.1\r\nHost: {where.netloc}\r\nAccept: text/event-stream\r\n"
        f"Authorization: {headers['Authorization']}\r\n\r\n"
    ).encode()
    connections = []
    for _ in range(count):
        connection = socket.create_connection((where.hostname, where.port))
        connection.sendall(head)
        seen = b""
        while b"run.queued" not in seen:
            piece = connection.recv(65536)
            if not piece:
                raise Failure(f"a watcher was turned away: {seen[:300]!r}")
            seen += piece
        connections.append(connection)
    return connections


def free_port():
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_listener(address):
    """Waits until somebody listens there."""
    host, port = address.split(":")
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port))).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise Failure(f"nobody listens on {address}")
