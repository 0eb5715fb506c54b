"""The compose file as Compose would read it: variables put in, anchors followed.

Only what this check needs of Compose. Whether the file is a compose file at all is for the specification's schema to
say. Interpolation: https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md
"""

import re
from dataclasses import dataclass

import yaml

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Missing(Exception):
    """A variable that has to be set is not."""


@dataclass(frozen=True)
class Service:
    """One service, with its defaults filled in."""

    name: str
    raw: dict

    @property
    def command(self):
        return [str(word) for word in self.raw.get("command", [])]

    @property
    def environment(self):
        return {name: str(value) for name, value in (self.raw.get("environment") or {}).items()}

    @property
    def needs(self):
        """What it waits for: name -> condition."""
        return {name: how["condition"] for name, how in self.raw.get("depends_on", {}).items()}

    @property
    def probe(self):
        """The command of its health check, as it would be executed; none without one."""
        test = self.raw.get("healthcheck", {}).get("test")
        if test is None:
            return None
        if test[0] != "CMD":
            raise ValueError(f"{self.name}: the health check needs a shell; the image has none: begin it with CMD")
        return [str(word) for word in test[1:]]

    @property
    def probe_timeout(self):
        return seconds(self.raw["healthcheck"]["timeout"])

    @property
    def grace(self):
        """Seconds from the signal to stop until it is killed. Ten, if the file does not say."""
        return seconds(self.raw.get("stop_grace_period", "10s"))


def services(path, variables):
    """Every service, profiles included, with `variables` put in."""
    document = yaml.safe_load(path.read_text())
    filled = fill(document, variables)
    return {name: Service(name, raw) for name, raw in filled["services"].items()}


def fill(node, variables):
    if isinstance(node, dict):
        return {key: fill(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, variables) for value in node]
    return interpolate(node, variables) if isinstance(node, str) else node


def required(path):
    """The variables without which Compose refuses the file."""
    return set(re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*):\?", path.read_text()))


def interpolate(text, variables):
    """Puts variables into one string: `$$`, `$NAME`, `${NAME}` and `${NAME` `:-` `-` `:?` `?` `:+` `+` `word}`."""
    out, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        out.append(text[at:dollar])
        rest = text[dollar + 1 :]
        if rest.startswith("$"):
            out.append("$")
            at = dollar + 2
        elif rest.startswith("{"):
            end = closing(text, dollar + 1)
            out.append(substitute(text[dollar + 2 : end], variables))
            at = end + 1
        else:
            name = NAME.match(rest)
            if not name:
                raise ValueError(f"a lone $ in {text!r}: write $$")
            out.append(variables.get(name[0], ""))
            at = dollar + 1 + name.end()
    return "".join(out) + text[at:]


def closing(text, opening):
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"a brace is not closed in {text!r}")


def substitute(expression, variables):
    name = NAME.match(expression)
    if not name:
        raise ValueError(f"not a variable: ${{{expression}}}")
    value, rest = variables.get(name[0]), expression[name.end() :]
    if not rest:
        return value or ""
    operator = re.match(r":?[-?+]", rest)
    if not operator:
        raise ValueError(f"not an operator: ${{{expression}}}")
    word = rest[operator.end() :]
    # With a colon an empty value is none.
    there = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1]:
        case "-":
            return value if there else interpolate(word, variables)
        case "+":
            return interpolate(word, variables) if there else ""
        case _ if there:
            return value
        case _:
            raise Missing(f"{name[0]}: {word}")


def seconds(text):
    """A span such as `1m30s`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a span of time: {text!r}")
    return sum(float(number) * UNITS[unit] for number, unit in parts)
