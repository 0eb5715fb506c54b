"""One run's way through the processes, in microseconds: which message followed which, on one clock.

Read off the wire and not off the programs: they are the released ones, and know nothing of it. What happens inside a
process is the time between what it received and what it sent next.
"""

import http.client
import json
import re
import statistics
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import urlsplit

from processes import Failure
from wiretap import Wiretap

#: The first token at once, the second when the first has long been shown: so the two do not share a commit.
MODEL = "sim:first=0us,pace=20000us,tokens=2"
WARM_UP, RUNS = 50, 100
#: Between two runs, so that what one leaves to do is not taken for the next one's.
PAUSE = 0.01
#: So much of the runs must have a message for it to be part of the way.
SHARE = 0.8
#: Somebody who polls asks the same whether a run is there or not. What is asked so often that half of the runs would see
#: it by chance says nothing about a run, and is left out.
IDLE_SECONDS, BY_CHANCE = 2, 0.5


def path(context, mode_class, provider, settings):
    """The steps of a run, one at a time: `[{from, to, what, at_us, step_us}]`. None where nobody may listen."""
    try:
        Wiretap([1]).close()
    except (PermissionError, AttributeError):
        context.say("one run's path: not measured: it takes Linux and the right to see packets (CAP_NET_RAW)")
        return None
    context.say(f"{mode_class.name}: one run's path")
    database = urlsplit(context.postgres).port
    # From the beginning, because a statement's text is sent once and only its name from then on.
    learning = Wiretap([database])
    try:
        with mode_class(context, {**settings, "MCP_SIMULATOR_URL": provider.url}) as mode:
            send(mode.url, WARM_UP)
            statements = Statements(learning.read())
            ports = {urlsplit(mode.url).port: mode.entrance, urlsplit(provider.url).port: "provider",
                     database: "postgres", **mode.ports()}
            idle = seen(Wiretap(ports), lambda: time.sleep(IDLE_SECONDS))
            busy = seen(Wiretap(ports), lambda: send(mode.url, RUNS))
            owners = {port: process.name for process in mode.processes for port in local_ports(process.pid)}
            for packets in (idle, busy):
                statements.learn(packets)
            names = {**owners, **ports}
            polls = Counter(message[1:] for message in messages(idle, names, statements))
            return steps(runs(messages(busy, names, statements), mode.entrance), polls)
    finally:
        learning.close()


def seen(tap, meanwhile):
    """The packets of a while."""
    try:
        meanwhile()
        packets = tap.read()
    finally:
        tap.close()
    if tap.dropped:
        raise Failure(f"one run's path: {tap.dropped} packets were lost")
    return packets


def send(url, count):
    """So many runs, one after the other, over one connection."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    body = json.dumps({"prompt": "path", "model": MODEL, "max_tokens": 2})
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    for _ in range(count):
        connection.request("POST", "/mcp/v1/request", body, headers)
        answer = connection.getresponse()
        log = answer.read()
        if answer.status != 200 or b"run.succeeded" not in log:
            raise Failure(f"one run's path: HTTP {answer.status}: {log[-500:]!r}")
        time.sleep(PAUSE)
    connection.close()


def local_ports(pid):
    """Local ports of a process's TCP connections."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
        except FileNotFoundError:
            continue
        if found:
            inodes.add(found.group(1))
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(fields[1].split(":")[1], 16) for fields in lines if fields[9] in inodes}


class Statements:
    """What PostgreSQL's clients said when they prepared a statement, by connection and name."""

    def __init__(self, packets):
        self.known = {}
        self.learn(packets)

    def learn(self, packets):
        for packet in packets:
            for kind, body in frontend(packet.data):
                if kind == b"P":
                    name, _, text = body.partition(b"\0")
                    self.known[packet.source, name] = subject(text.split(b"\0")[0].decode(errors="replace"))

    def said(self, packet):
        """What a packet to the database asks for."""
        asked = []
        for kind, body in frontend(packet.data):
            if kind == b"Q":
                asked.append(subject(body.rstrip(b"\0").decode(errors="replace")))
            elif kind == b"P":
                asked.append("prepare " + subject(body.partition(b"\0")[2].split(b"\0")[0].decode(errors="replace")))
            elif kind == b"B":
                asked.append(self.known.get((packet.source, body.split(b"\0")[1]), "a statement"))
        # A Sync alone: whether the connection is alive.
        return ", ".join(asked) or "ping"


def frontend(data):
    """Messages of PostgreSQL's protocol; the last one may be cut."""
    while len(data) > 5 and data[:1] in b"PBQEDCSH":
        length = int.from_bytes(data[1:5], "big")
        yield data[:1], data[5:length + 1]
        data = data[length + 1:]


def subject(statement):
    """A statement in a word or two: what it writes, or else reads."""
    for pattern in (r"\b(INSERT) INTO (\w+)", r"\b(UPDATE) (?:ONLY )?(\w+)", r"\b(DELETE) FROM (\w+)",
                    r"\b(SELECT)\b.*?\bFROM (mcp_\w+)"):
        found = re.search(pattern, statement, re.S)
        if found:
            return " ".join(found.groups())
    return " ".join(statement.split())[:30]


def redis_command(data):
    """The name of the first command in a packet to Redis."""
    found = re.match(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n", data)
    return found.group(1).decode().upper() if found else ""


def messages(packets, names, statements):
    """(time, from, to, what) of everything between known parties."""
    latest, asked = {}, {}
    for packet in packets:
        source, target = names.get(packet.source, "client"), names.get(packet.target, "client")
        pair = frozenset((packet.source, packet.target))
        went_on = latest.get(pair) == packet.source
        latest[pair] = packet.source
        if source == target or ("postgres" in (source, target) and went_on):
            # A long statement or answer comes in several packets, and is one message.
            continue
        if target == "client":
            events = re.findall(rb"^event: ?([\w.]+)", packet.data, re.M)
            said = [event.decode() for event in events] or ["the response's head"]
        elif target in ("postgres", "redis"):
            said = [statements.said(packet) if target == "postgres" else redis_command(packet.data)]
            asked[pair] = said
        elif source in ("postgres", "redis"):
            said = [f"answer to {what}" for what in asked.get(pair, ["an earlier question"])]
            if source == "redis" and packet.data[:1] == b">":
                said = ["push"]
        else:
            said = [""]
        for what in said:
            yield packet.at, source, target, what


def runs(found, entrance):
    """The messages of each run, from its request to the last of its answer."""
    run, all_runs = None, []
    for message in found:
        _, source, target, _ = message
        if (source, target) == ("client", entrance):
            run = []
            all_runs.append(run)
        if run is not None:
            run.append(message)
    for run in all_runs:
        while run and run[-1][2] != "client":
            run.pop()
    return [run for run in all_runs if run]


def steps(all_runs, polls):
    """What nearly every run has, in order, with the median of its time since the request."""
    length = statistics.median(run[-1][0] - run[0][0] for run in all_runs)
    moments = defaultdict(list)
    for run in all_runs:
        counted = Counter()
        for at, *key in run:
            key = tuple(key)
            if polls[key] / IDLE_SECONDS * length > BY_CHANCE:
                continue
            counted[key] += 1
            moments[*key, counted[key]].append(at - run[0][0])
    rows = sorted(
        (statistics.median(times), key) for key, times in moments.items() if len(times) >= SHARE * len(all_runs)
    )
    found, before = [], 0.0
    for at, (source, target, what, _) in rows:
        found.append({"from": source, "to": target, "what": what, "at_us": at * 1e6, "step_us": (at - before) * 1e6})
        before = at
    return found
