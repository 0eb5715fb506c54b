"""Results as Markdown tables, between two markers of a document."""

BEGIN = "<!-- scripts/bench writes what follows -->"
END = "<!-- until here -->"

#: Not of the product: stands in tables of its own.
PROVIDER = "provider"


def markdown(results):
    """All tables."""
    parts = [_environment(results["environment"])]
    for mode in results["modes"].values():
        parts.append(f"### {mode['title']}")
        paced = [load for load in mode["loads"] if load["load"] in ("paced", "wave")]
        flat = [load for load in mode["loads"] if load["load"] in ("flat", "noop")]
        parts += [table for table in (_paced(paced), _flat(flat), _dispatch(mode["dispatch"])) if table]
        if mode["memory"]:
            parts.append(_memory(mode["memory"]))
        parts += _doubts(mode["loads"])
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
        f"PostgreSQL {facts['postgres']} · mcpctl {facts['mcpctl']} ({facts['revision']}) · "
        f"median of {facts['rounds']} round(s) of {facts['seconds']:g} s · "
        f"load average before {facts['load_average']:.2f}"
    )


def _paced(loads):
    if not loads:
        return None
    rows = []
    for load in loads:
        direct, through = load["direct"], load["through"]
        added = [through["first_token_ms"][p] - direct["first_token_ms"][p] for p in ("p50", "p99")]
        share = through["tokens_per_second"] / direct["tokens_per_second"]
        rows.append([
            f"{load['load']} {load['concurrency']}",
            _pair(direct["first_token_ms"]), _pair(through["first_token_ms"]),
            f"{_ms(added[0])} / {_ms(added[1])}",
            f"{direct['tokens_per_second']:,.0f}", f"{through['tokens_per_second']:,.0f}", f"{share:.1%}",
            _gaps(direct), _gaps(through),
            _cpu(through["cpu_us_per_token"], 1), _failed(load),
        ])
    return _table(
        ["load", "first token p50 / p99 ms, direct", "through", "added",
         "tokens/s, direct", "through", "share",
         "gaps p50 / p99 / max ms, direct", "through", "CPU µs per token", "failed"],
        rows,
    )


def _flat(loads):
    if not loads:
        return None
    rows = []
    for load in loads:
        direct, through = load["direct"], load["through"]
        rows.append([
            f"{load['load']} {load['concurrency']}",
            f"{direct['runs_per_second']:,.0f}", f"{through['runs_per_second']:,.0f}",
            _pair(through["accepted_ms"]),
            _pair(direct["first_token_ms"]), _pair(through["first_token_ms"]),
            _cpu(through["cpu_ms_per_run"], 3), _failed(load),
        ])
    return _table(
        ["load", "runs/s, direct", "through", "accepted p50 / p99 ms",
         "first token p50 / p99 ms, direct", "through", "CPU ms per run", "failed"],
        rows,
    )


def _dispatch(found):
    if not found:
        return None
    steps = ("accepted_ms", "called_ms", "first_token_ms", "run_ms")
    rows = [[
        f"{one['queued']:,}",
        *(_pair(one["single"].get(step)) for step in steps),
        f"{one['many']['runs_per_second']:,.0f}", _pair(one["many"].get("called_ms")),
        one["single"]["failed"] + one["many"]["failed"],
    ] for one in found]
    return _table(
        ["no-op runs, queued beside", "1 at a time: accepted p50 / p99 ms", "provider called", "first token", "ended",
         "64 at a time: runs/s", "provider called p50 / p99 ms", "failed"],
        rows,
    )


def _memory(memory):
    rows = [[
        name, _mib(idle), _mib(memory["peak_under_load"].get(name)),
        f"{memory['per_watcher'][name] / 1024:,.1f}", f"{memory['per_queued_run'][name]:,.0f}",
    ] for name, idle in memory["idle"].items()]
    return _table(
        ["process", "idle, MiB", "most under the loads above, MiB",
         f"per watcher, KiB (of {memory['watchers']:,})", f"per queued run, bytes (of {memory['queued']:,})"],
        rows,
    ) + f"\n\nA queued run takes {memory['stored_per_queued_run']:,.0f} bytes of the database."


def _doubts(loads):
    return [
        f"{load['load']} {load['concurrency']}, {way}: {load[way]['doubt']}"
        for load in loads for way in ("direct", "through") if load[way]["doubt"]
    ]


def _ms(value):
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def _pair(latency):
    return f"{_ms(latency['p50'])} / {_ms(latency['p99'])}" if latency else "–"


def _gaps(one):
    gaps = one.get("gap_ms")
    return " / ".join(_ms(gaps[name]) for name in ("p50", "p99", "max")) if gaps else "–"


def _cpu(used, digits):
    ours = {name: value for name, value in used.items() if name != PROVIDER}
    each = ", ".join(f"{name} {value:.{digits}f}" for name, value in ours.items())
    product = [value for name, value in ours.items() if name != "postgres"]
    return each if len(product) == 1 else f"{each}; ours {sum(product):.{digits}f}"


def _failed(load):
    return load["direct"]["failed"] + load["through"]["failed"]


def _mib(value):
    return "–" if value is None else f"{value / 1024 / 1024:,.1f}"
