"""The chart beside the tables: what the product adds to the first token, and runs a second. Plain SVG, no scripts."""

from html import escape

WIDTH = 760
LABEL = 250
BAR = 18
ROW = 26
DIRECT, P50, P99 = "#9aa5b1", "#2f6f9f", "#9ec5e0"


def svg(results):
    """One panel for the first token of paced streams, one for runs a second."""
    first, runs = [], []
    for name, mode in results["modes"].items():
        for load in mode["loads"]:
            label = f"{name}, {load['load']} {load['concurrency']}"
            direct, through = load["direct"], load["through"]
            if load["load"] == "paced":
                for way, report in (("provider alone", direct), (label, through)):
                    latency = report["first_token_ms"]
                    text = f"{latency['p50']:.1f} / {latency['p99']:.1f} ms"
                    known = f"{way} {load['concurrency']}" if way == "provider alone" else way
                    if known not in (bar[0] for bar in first):
                        first.append((known, latency["p50"], latency["p99"], text, way == "provider alone"))
            elif load["load"] == "flat":
                rate = through["runs_per_second"]
                runs.append((label, rate, rate, f"{rate:,.0f} runs/s", False))
    height, parts = 16, []
    for title, bars in (
        ("First token of paced streams, p50 and p99 (shorter is better)", first),
        ("Durable runs per second, 16 tokens each, flat out (longer is better)", runs),
    ):
        if bars:
            drawn, height = panel(title, bars, height)
            parts += drawn
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def panel(title, bars, top):
    """The bars below a title; returns them, and where the next panel begins."""
    scale = (WIDTH - LABEL - 140) / max(most for _, _, most, _, _ in bars)
    parts = [f'<text x="16" y="{top + 14}" font-weight="600">{escape(title)}</text>']
    y = top + 30
    for label, value, most, text, is_direct in bars:
        parts.append(f'<text x="{LABEL - 10}" y="{y + 14}" text-anchor="end">{escape(label)}</text>')
        parts.append(rect(y, most * scale, P99 if not is_direct else "#d5dbe1"))
        parts.append(rect(y, value * scale, P50 if not is_direct else DIRECT))
        parts.append(f'<text x="{LABEL + most * scale + 6:.1f}" y="{y + 14}" fill="#444">{escape(text)}</text>')
        y += ROW
    return parts, y + 20


def rect(y, width, colour):
    return f'<rect x="{LABEL}" y="{y}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
