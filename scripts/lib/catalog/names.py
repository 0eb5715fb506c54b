"""Aliases: by which other names a model is asked for, so that the same open model at several providers shares one.

A name loses its path (`meta-llama/`, `accounts/fireworks/models/`), a platform's marks (`us.anthropic.`, `-v1:0`,
`databricks-`) and its upper case; version numbers are written with a dot. What tells models apart stays: sizes,
`-instruct`, `-turbo`, quantisations.
"""

import re
from collections import defaultdict

REGION = re.compile(r"^(us|us-gov|eu|apac|au|jp|ca|global)\.")
BEDROCK_VENDOR = re.compile(r"^[a-z0-9]+\.")
BEDROCK_REVISION = re.compile(r"(-v\d+)?(:\d+)+(:\d+k)?$|-v\d+$")
# What is left of `deepseek/v3.2` or `router/auto` names nothing by itself.
NAMELESS = re.compile(r"^([rv]?\d[\d.]*|auto|beam|embed)$")
DATED = re.compile(r"-(20\d{2}-?[01]\d-?[0-3]\d)$")


def normal(provider, name):
    """The name that the same model at another provider would also have."""
    text = name.lower()
    if provider == "bedrock":
        text = BEDROCK_REVISION.sub("", BEDROCK_VENDOR.sub("", REGION.sub("", text)))
    text = text.rsplit("/", 1)[-1]
    if provider == "databricks":
        text = text.removeprefix("databricks-")
    text = re.sub(r"(?<=\d)_(?=\d)", ".", text)
    if provider == "fireworks":
        text = re.sub(r"(?:(?<=-)v)?(\d)p(\d)", r"\1.\2", text)
    return text.removeprefix("meta-") if text.startswith("meta-llama") else text


def aliases(entries):
    """`{(provider, name): [alias, ...]}`; no alias says again what the name itself says."""
    normals = {(provider, name): normal(provider, name) for provider, name, _ in entries}
    undated = newest_snapshots(normals)
    plain = everywhere(normals)
    result = {}
    for key, text in normals.items():
        given = {text, undated.get(key, text)} - {key[1].lower()}
        given = {alias for alias in given if not NAMELESS.match(alias)}
        # On Azure a name is a deployment's, so nothing is known of who answers to it.
        unknown = key[0] == "azure" or (key[0] == "bedrock" and key not in plain)
        result[key] = [] if unknown else sorted(given)
    return result


def everywhere(normals):
    """Of a Bedrock model's profiles, the one that asks least of the region we call from: `global.`, or none."""
    chosen = {}
    for (provider, name), text in normals.items():
        if provider != "bedrock":
            continue
        rank = 0 if name.startswith("global.") else 2 if REGION.match(name) else 1
        chosen[text] = min(chosen.get(text, (9, "")), (rank, name))
    return {("bedrock", name) for _, name in chosen.values()}


def newest_snapshots(normals):
    """The undated alias goes to a provider's newest snapshot, where the provider has no model of that very name."""
    taken = {(provider, text) for (provider, _), text in normals.items()}
    snapshots = defaultdict(list)
    for (provider, name), text in normals.items():
        dated = DATED.search(text)
        if dated and (provider, text[: dated.start()]) not in taken:
            day = dated.group(1).replace("-", "")
            snapshots[provider, text[: dated.start()]].append((day, name))
    result = {}
    for (provider, text), found in snapshots.items():
        newest = max(day for day, _ in found)
        # One snapshot may be there under several regions' names.
        result.update({(provider, name): text for day, name in found if day == newest})
    return result
