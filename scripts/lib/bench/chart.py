"""The chart beside the tables: the first token, and runs a second, for everybody. Plain SVG, no scripts."""

from html import escape

WIDTH = 760
LABEL = 250
BAR = 18
ROW = 26
#: Of a bar and its longer shadow: p50 and p99.
OURS, PEER, DIRECT = ("#2f6f9f", "#9ec5e0"), ("#b5763c", "#e6c7a8"), ("#9aa5b1", "#d5dbe1")


def svg(results):
    """One panel for the first token at each number of paced streams, one for runs a second."""
    everybody = [(name, mode["loads"], OURS) for name, mode in results["modes"].items()]
    everybody += [(name, peer["loads"], PEER) for name, peer in results.get("peers", {}).items()]
    panels = []
    paced = {load["concurrency"] for _, loads, _ in everybody for load in loads if load["load"] == "paced"}
    for streams in sorted(paced):
        bars = []
        for name, loads, colours in everybody:
            for load in loads:
                if (load["load"], load["concurrency"]) == ("paced", streams):
                    if not bars:
                        bars.append(first_token("provider alone", load["direct"], DIRECT))
                    bars.append(first_token(name, load["through"], colours))
        panels.append((f"First token of {streams} paced streams, p50 and p99 (shorter is better)", bars))
    rates = []
    for name, loads, colours in everybody:
        for load in loads:
            if load["load"] == "flat":
                rate = load["through"]["runs_per_second"]
                rates.append((f"{name}, {load['concurrency']} at a time", rate, rate, f"{rate:,.0f} runs/s", colours))
    panels.append(("Streamed runs per second, 16 tokens each, flat out (longer is better)", rates))

    height, parts = 16, []
    for title, bars in panels:
        if bars:
            drawn, height = panel(title, bars, height)
            parts += drawn
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def first_token(name, report, colours):
    latency = report.get("first_token_ms") or {"p50": 0, "p99": 0}
    return name, latency["p50"], latency["p99"], f"{latency['p50']:,.1f} / {latency['p99']:,.1f} ms", colours


def panel(title, bars, top):
    """The bars below a title; returns them, and where the next panel begins."""
    scale = (WIDTH - LABEL - 160) / (max(most for _, _, most, _, _ in bars) or 1)
    parts = [f'<text x="16" y="{top + 14}" font-weight="600">{escape(title)}</text>']
    y = top + 30
    for label, value, most, text, (solid, shadow) in bars:
        parts.append(f'<text x="{LABEL - 10}" y="{y + 14}" text-anchor="end">{escape(label)}</text>')
        parts.append(rect(y, most * scale, shadow))
        parts.append(rect(y, value * scale, solid))
        parts.append(f'<text x="{LABEL + most * scale + 6:.1f}" y="{y + 14}" fill="#444">{escape(text)}</text>')
        y += ROW
    return parts, y + 20


def rect(y, width, colour):
    return f'<rect x="{LABEL}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
