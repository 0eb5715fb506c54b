"""What is measured beside a queue that stands: dispatch, and memory per queued run and per watcher."""

import json
import socket
import time
import urllib.request
from urllib.parse import urlsplit

from measure import LIMITS, bench, median_of, timing
from modes import KEYS
from processes import Failure, free_port

#: Runs of one tenant at a time where a queue is to stand; the held calls of the crowd take so many slots.
HELD = 100
AN_HOUR = "3600000"
CROWDED = {
    **LIMITS,
    "MCP_FIRST_TOKEN_TIMEOUT_MS": AN_HOUR,
    "MCP_BETWEEN_TOKENS_TIMEOUT_MS": AN_HOUR,
    "MCP_TOTAL_TIMEOUT_MS": AN_HOUR,
    "MCP_MAX_RUNNING_PER_TENANT": str(HELD),
    "MCP_API_KEYS": ",".join(f"{tenant}:{key}" for tenant, key in KEYS.items()),
}


#: A provider beside the measured one, which holds the calls of a crowd: they outlive the generators of single rounds.
HELD_MODEL = "held"
HOLDER = """
[providers.holder]
base_url = "{url}"

[[models]]
provider = "holder"
name = "sim:first=3600000000us,tokens=1"
aliases = ["{model}"]
"""


def dispatch(context, mode_class, holder):
    """From submit to the provider's call, and runs without work, beside a queue of another tenant that stands."""
    catalog = context.folder / "holder.toml"
    catalog.write_text(HOLDER.format(url=holder.url, model=HELD_MODEL))
    return [_beside(context, mode_class, catalog, waiting) for waiting in context.queued]


def _beside(context, mode_class, catalog, waiting):
    # The generator is the provider, so that one clock tells when it was called.
    address = f"127.0.0.1:{free_port()}"
    key = {"MCP_API_KEY": KEYS["bench"]}
    rounds = {"single": [], "many": []}
    settings = {**CROWDED, "OPENAI_BASE_URL": f"http://{address}/v1", "MCP_CATALOG_FILE": str(catalog)}
    with mode_class(context, settings) as mode:
        common = ["--answer-on", address, "--server", mode.url, *timing(context)]
        single, many = ["noop", "-c", "1", *common], ["noop", "-c", "64", *common]
        context.say(f"{mode.name}: dispatch beside {waiting:,} queued runs: filling the queue")
        filled = crowd(context, mode, HELD + waiting, ["--model", HELD_MODEL])
        for number in range(context.rounds):
            context.say(f"{mode.name}: dispatch beside {waiting:,} queued runs, round {number + 1} of {context.rounds}")
            rounds["single"].append(bench(context, single, key))
            rounds["many"].append(bench(context, many, key))
    return {
        "queued": waiting,
        "filled_per_second": filled["runs_per_second"],
        **{name: median_of(reports) for name, reports in rounds.items()},
    }


def memory(context, mode_class, provider, after_load):
    """Resident memory: idle, and what a queued run and a watcher add. `after_load` is what a loaded mode had."""
    with mode_class(context, {**CROWDED, "MCP_SIMULATOR_URL": provider.url}) as mode:
        context.say(f"{mode.name}: memory")
        time.sleep(2)
        idle, stored = _now(mode), mode.stored()
        crowd(context, mode, HELD + context.queued_for_memory, ["--first", "1h"])
        time.sleep(2)
        queued = _now(mode)
        grown = mode.stored() - stored
        connections = _watch(mode, context.watchers)
        time.sleep(2)
        watched = _now(mode)
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


def _now(mode):
    """Resident bytes by process."""
    return {name: resident for name, (resident, _) in mode.memory().items()}


def crowd(context, mode, runs, held):
    """Hands in runs of another tenant, which `held` asks a provider to hold: the first are, the others stay queued."""
    submit = ["submit", *held, "--runs", str(runs), "-c", "32", "--server", mode.url]
    report = bench(context, submit, {"MCP_API_KEY": KEYS["crowd"]})
    if report["failed"]:
        raise Failure(f"the queue could not be filled: {report['errors']}")
    return report


def _watch(mode, count):
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
