"""What is said of a model: prices in US dollars per million tokens, abilities, and a tier of quality."""

import re
from decimal import Decimal
from statistics import median

MILLION = Decimal(1_000_000)
# Beyond this many dollars per million tokens a price upstream is a slip (dollars per million written per token).
ABSURD = Decimal(1_000)
ABSURD_EMBEDDING = Decimal(10)
BILLIONTH = Decimal("0.000000001")

RATES = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "reasoning": "output_cost_per_reasoning_token",
}
ABOVE = re.compile(r"^input_cost_per_token_above_(\d+)k_tokens$")

ABILITIES = {
    "tools": "supports_function_calling",
    "vision": "supports_vision",
    "json_schema": "supports_response_schema",
    "reasoning": "supports_reasoning",
}
CODE = re.compile(r"code|devstral")

# Dollars per million tokens, three parts input to one part output: where tiers 2, 3, 4 and 5 begin.
TIERS = [Decimal("0.2"), Decimal("0.8"), Decimal(3), Decimal(9)]


def prices(name, figures):
    """Rates and tiers, or none where they are not known: a zero is upstream's way of not knowing."""
    base = rates(figures, "")
    tiers = [
        {"above_input_tokens": int(match.group(1)) * 1000, **long}
        for match in map(ABOVE.match, figures)
        if match and (long := rates(figures, f"_above_{match.group(1)}k_tokens"))
    ]
    for step in figures.get("tiered_pricing") or []:
        ranged = rates(step, "") if "range" in step else None
        if ranged and int(step["range"][0]) == 0:
            base = base or ranged
        elif ranged:
            tiers.append({"above_input_tokens": int(step["range"][0]), **ranged})
    if base is None:
        return None
    embeds = figures.get("mode") == "embedding"
    if embeds:
        base["output"] = Decimal(0)
    free = name.endswith(":free") and base["input"] == base.get("output") == 0
    if embeds and base["input"] > ABSURD_EMBEDDING:
        return None
    known = base["input"] > 0 and (embeds or base.get("output", 0) > 0)
    if not (known or free):
        return None
    whole = [tier for tier in tiers if tier["input"] > 0 and (embeds or tier.get("output", 0) > 0)]
    for tier in whole:
        tier.setdefault("output", Decimal(0))
    whole.sort(key=lambda tier: tier["above_input_tokens"])
    return {**base, **({"tiers": whole} if whole else {})}


def rates(figures, suffix):
    """The rates that are there, without those that only repeat what is taken anyway; none without an input rate."""
    found = {}
    for ours, theirs in RATES.items():
        value = figures.get(theirs + suffix)
        if value is None:
            continue
        dollars = (Decimal(value) * MILLION).quantize(BILLIONTH).normalize()
        if dollars < 0 or dollars > ABSURD:
            return None
        found[ours] = dollars
    if "input" not in found:
        return None
    for part in ("cached_input", "cache_write"):
        if found.get(part) == 0:
            del found[part]
    if found.get("reasoning") in (0, found.get("output")):
        found.pop("reasoning", None)
    return found


def capabilities(figures):
    """Words of what it can do."""
    if figures.get("mode") == "embedding":
        return ["embeddings"]
    return ["chat"] + [ours for ours, theirs in ABILITIES.items() if figures.get(theirs) is True]


def task_types(name):
    """Models that say in their name that they are made for code."""
    return ["code"] if CODE.search(name.lower()) else []


def blended(known):
    """One figure for a price: three parts input, one part output."""
    return (3 * known["input"] + known["output"]) / 4


def quality(family_prices, can, context):
    """1 to 5, from what the market pays for the model; none without a price anywhere."""
    if not family_prices or "chat" not in can:
        return None
    price = median(sorted(family_prices))
    tier = 1 + sum(price >= bound for bound in TIERS)
    if "reasoning" in can:
        tier += 1
    if "tools" not in can or (context or 0) < 32_000:
        tier = min(tier, 2)
    return min(tier, 5 if "reasoning" in can else 4)
