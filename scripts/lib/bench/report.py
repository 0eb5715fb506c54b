"""Results as Markdown tables, between two markers of a document."""

BEGIN = "<!-- scripts/bench writes what follows -->"
END = "<!-- until here -->"

#: Processes that are the product's own; the others are its databases, and the benchmark itself.
OURS = ("api", "worker", "up")
PACED, FLAT = ("paced", "wave"), ("flat", "noop", "whole")


def markdown(results):
    """All tables."""
    parts = [_environment(results["environment"])]
    peers = results.get("peers", {})
    if peers:
        parts += ["### Beside the peers", _beside(results["modes"], peers)]
    for mode in results["modes"].values():
        parts.append(f"### {mode['title']}")
        parts += _loads(mode["loads"])
        parts += [table for table in (_dispatch(mode["dispatch"]), _memory(mode["memory"]), _path(mode["path"])) if table]
        parts += _doubts(mode["loads"])
    for peer in peers.values():
        parts.append(f"### {peer['title']}")
        parts += _loads(peer["loads"])
        parts.append(f"Memory of all its processes: {_mib(peer['memory']['idle'])} MiB idle, "
                     f"{_mib(peer['memory']['after_load'])} MiB after the loads.")
        parts += _doubts(peer["loads"])
    return "\n\n".join(parts) + "\n"


def replace(document, tables):
    """Puts the tables into the document; what stands around the markers stays."""
    text = document.read_text()
    before, found, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not found or not found_end:
        raise SystemExit(f"bench: {document} lacks the lines '{BEGIN}' and '{END}'")
    document.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def _table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _environment(facts):
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB · Linux {facts['kernel']} · "
        f"PostgreSQL {facts['postgres']} · Redis {facts['redis']} · mcpctl {facts['mcpctl']} ({facts['revision']}) · "
        f"median of {facts['rounds']} round(s) of {facts['seconds']:g} s · "
        f"load average before {facts['load_average']:.2f}"
    )


def _beside(modes, peers):
    """The loads that were sent to a peer, one column for everybody."""
    columns = {**{name: mode["loads"] for name, mode in modes.items()}, **{name: peer["loads"] for name, peer in peers.items()}}
    found = {name: {(load["load"], load["concurrency"]): load for load in loads} for name, loads in columns.items()}
    keys = dict.fromkeys(key for peer in peers for key in found[peer])
    lines = {
        "paced": [("first token added, p50 / p99 ms", _added), ("tokens/s, share of direct", _token_share)],
        "flat": [("runs/s", _run_rate), ("CPU ms per run, its own processes", _own_run)],
        "whole": [("not streamed: added p50 / p99 ms", _added_run)],
    }
    rows = []
    for load, streams in keys:
        for title, figure in lines[load]:
            cells = [figure(loads[load, streams], name) if (load, streams) in loads else "–" for name, loads in found.items()]
            rows.append([f"{load} {streams}: {title}", *cells])
    idle = [_mib(sum(size for process, size in mode["memory"]["idle"].items() if process in OURS)) if mode["memory"] else "–"
            for mode in modes.values()]
    rows.append(["memory idle, MiB", *idle, *(_mib(peer["memory"]["idle"]) for peer in peers.values())])
    return _table(["load", *found], rows)


def _loads(loads):
    paced = [load for load in loads if load["load"] in PACED]
    flat = [load for load in loads if load["load"] in FLAT]
    tables = (_paced(paced), _cpu(paced, "cpu_us_per_token", "CPU µs per token", 1),
              _flat(flat), _cpu(flat, "cpu_ms_per_run", "CPU ms per run", 3))
    return [table for table in tables if table]


def _paced(loads):
    rows = []
    for load in loads:
        direct, through = load["direct"], load["through"]
        rows.append([
            _name(load),
            _pair(direct["first_token_ms"]), _pair(through["first_token_ms"]), _added(load),
            f"{direct['tokens_per_second']:,.0f}", f"{through['tokens_per_second']:,.0f}", _token_share(load),
            _gaps(direct), _gaps(through), _failed(load),
        ])
    return rows and _table(
        ["load", "first token p50 / p99 ms, direct", "through", "added",
         "tokens/s, direct", "through", "share",
         "gaps p50 / p99 / max ms, direct", "through", "failed"],
        rows,
    )


def _flat(loads):
    rows = []
    for load in loads:
        direct, through = load["direct"], load["through"]
        rows.append([
            _name(load),
            f"{direct['runs_per_second']:,.0f}", _run_rate(load),
            f"{through['runs_per_second'] / direct['runs_per_second']:.1%}" if direct["runs_per_second"] else "–",
            _pair(through.get("accepted_ms")),
            _pair(direct.get("first_token_ms")), _pair(through.get("first_token_ms")), _added_run(load), _failed(load),
        ])
    return rows and _table(
        ["load", "runs/s, direct", "through", "share", "head of the response p50 / p99 ms",
         "first token p50 / p99 ms, direct", "through", "whole run, added p50 / p99 ms", "failed"],
        rows,
    )


def _cpu(loads, field, title, digits):
    """CPU of everybody, while the load went through."""
    names = list(dict.fromkeys(name for load in loads for name in load["through"][field]))
    ours = [name for name in names if name in OURS]
    summed = ["api + worker"] if len(ours) > 1 else []
    rows = []
    for load in loads:
        used = load["through"][field]
        cells = [sum(used[name] for name in ours)] * len(summed) + [used[name] for name in names]
        rows.append([_name(load), *(f"{value:.{digits}f}" for value in cells)])
    return rows and _table([title, *summed, *names], rows)


def _dispatch(found):
    steps = ("accepted_ms", "called_ms", "first_token_ms", "run_ms")
    rows = [[
        f"{one['queued']:,}",
        *(_pair(one["single"].get(step)) for step in steps),
        f"{one['many']['runs_per_second']:,.0f}", _pair(one["many"].get("called_ms")),
        one["single"]["failed"] + one["many"]["failed"],
    ] for one in found]
    return rows and _table(
        ["no-op runs, queued beside", "1 at a time: accepted p50 / p99 ms", "provider called", "first token", "ended",
         "64 at a time: runs/s", "provider called p50 / p99 ms", "failed"],
        rows,
    )


def _memory(memory):
    if not memory:
        return None
    rows = [[
        name, _mib(idle), _mib(memory["peak_under_load"].get(name)),
        f"{memory['per_watcher'][name] / 1024:,.1f}", f"{memory['per_queued_run'][name]:,.0f}",
    ] for name, idle in memory["idle"].items()]
    return _table(
        ["process", "idle, MiB", "most under the loads above, MiB",
         f"per watcher, KiB (of {memory['watchers']:,})", f"per queued run, bytes (of {memory['queued']:,})"],
        rows,
    ) + f"\n\nA queued run takes {memory['stored_per_queued_run']:,.0f} bytes of the database."


def _path(steps):
    if not steps:
        return None
    rows = [[
        f"{step['from']} → {step['to']}" + (f": {step['what']}" if step["what"] else ""),
        f"{step['step_us']:,.0f}", f"{step['at_us']:,.0f}",
    ] for step in steps]
    return _table(["one run's path", "µs since the line before", "µs since the request"], rows)


def _doubts(loads):
    return [
        f"{_name(load)}, {way}: {load[way]['doubt']}"
        for load in loads for way in ("direct", "through") if load[way]["doubt"]
    ]


def _name(load):
    return f"{load['load']} {load['concurrency']}"


def _difference(load, field):
    direct, through = load["direct"].get(field), load["through"].get(field)
    return " / ".join(_ms(through[p] - direct[p]) for p in ("p50", "p99")) if direct and through else "–"


def _added(load, *_):
    return _difference(load, "first_token_ms")


def _added_run(load, *_):
    return _difference(load, "run_ms")


def _token_share(load, *_):
    direct, through = load["direct"]["tokens_per_second"], load["through"]["tokens_per_second"]
    return f"{through / direct:.1%}" if direct else "–"


def _run_rate(load, *_):
    return f"{load['through']['runs_per_second']:,.0f}"


def _own_run(load, name):
    used = load["through"]["cpu_ms_per_run"]
    return f"{sum(value for process, value in used.items() if process in (*OURS, name)):.3f}"


def _ms(value):
    size = abs(value)
    return f"{value:.2f}" if size < 10 else f"{value:,.1f}" if size < 100 else f"{value:,.0f}"


def _pair(latency):
    return f"{_ms(latency['p50'])} / {_ms(latency['p99'])}" if latency else "–"


def _gaps(one):
    gaps = one.get("gap_ms")
    return " / ".join(_ms(gaps[name]) for name in ("p50", "p99", "max")) if gaps else "–"


def _failed(load):
    return load["direct"]["failed"] + load["through"]["failed"]


def _mib(value):
    return "–" if value is None else f"{value / 1024 / 1024:,.1f}"
