"""Writes the compact list: one line for each model, in a stable order."""

import json
import os
from collections import defaultdict
from decimal import Decimal

import figures as say
import names
import upstream


def derive(wheel, version, date, out):
    entries = upstream.entries(upstream.read(wheel), date)
    aliases = names.aliases(entries)
    families = defaultdict(list)
    known = {}
    for provider, name, figures in entries:
        known[provider, name] = prices = say.prices(name, figures)
        if prices and "chat" in say.capabilities(figures):
            families[family(provider, name)].append(say.blended(prices))
    sources = sorted({source(figures) for _, _, figures in entries} - {None})
    lines = [
        line(provider, name, figures, aliases[provider, name], known[provider, name], families, sources)
        for provider, name, figures in entries
    ]
    header = {
        "origin": {
            "name": "litellm",
            "version": version,
            "file": upstream.PRICES,
            "url": f"https://pypi.org/project/litellm/{version}/",
            "licence": "MIT (LICENCE-litellm)",
            "date": date,
        }
    }
    with open(out, "w", encoding="utf-8") as file:
        file.write("{\n" + dump(header)[1:-1] + ",\n\"sources\": [\n")
        file.write(",\n".join(dump(url) for url in sources) + "\n],\n\"models\": [\n")
        file.write(",\n".join(map(dump, lines)) + "\n]\n}\n")
    # Whoever passes the figures on passes this on with them.
    with open(os.path.join(os.path.dirname(out), "LICENCE-litellm"), "w", encoding="utf-8") as file:
        file.write(upstream.licence(wheel))
    priced = sum(1 for value in known.values() if value)
    print(f"{len(lines)} models of {len({p for p, _, _ in entries})} providers, {priced} with prices")


def family(provider, name):
    """Snapshots of a model are one family with it."""
    return names.DATED.sub("", names.normal(provider, name))


def source(figures):
    url = figures.get("source")
    return url if isinstance(url, str) and url.startswith("https://") else None


def line(provider, name, figures, aliases, prices, families, sources):
    can = say.capabilities(figures)
    context = whole(figures.get("max_input_tokens"))
    found = {
        "provider": provider,
        "name": name,
        "aliases": aliases,
        "context_window": context,
        "max_output": whole(figures.get("max_output_tokens")),
        "prices": prices,
        "capabilities": can,
        "quality": say.quality(families.get(family(provider, name)), can, context),
        "task_types": say.task_types(name) if "chat" in can else [],
        "source": sources.index(source(figures)) if source(figures) else None,
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


def whole(value):
    """A number of tokens, or none: 0 and words say nothing."""
    return int(value) if isinstance(value, (int, Decimal)) and value > 0 else None


class Exact(float):
    """A decimal that `json` writes as it is."""

    def __new__(cls, value):
        made = super().__new__(cls, value)
        made.text = format(value, "f")
        return made

    def __repr__(self):
        return self.text


def dump(value):
    return json.dumps(exact(value), ensure_ascii=False, separators=(",", ":"))


def exact(value):
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else Exact(value)
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return value
