"""The Dockerfile's facts: its stages, and of the last one what a container is started with.

Not a parser of everything a Dockerfile may say: what this one says, and an error for what is not understood.
"""

import json
import shlex
from dataclasses import dataclass, field


@dataclass
class Stage:
    image: str
    name: str
    steps: list = field(default_factory=list)

    def last(self, instruction):
        """What the last such instruction says; it is what counts."""
        found = [what for name, what in self.steps if name == instruction]
        return found[-1] if found else None

    def form(self, instruction):
        """An instruction in exec form."""
        return json.loads(self.last(instruction) or "[]")

    @property
    def user(self):
        """Numeric user and group."""
        user, group = (self.last("USER") or "0:0").split(":")
        return int(user), int(group)

    @property
    def entrypoint(self):
        return self.form("ENTRYPOINT")

    @property
    def stop_signal(self):
        return self.last("STOPSIGNAL") or "SIGTERM"

    @property
    def ports(self):
        return (self.last("EXPOSE") or "").split()

    @property
    def context(self):
        """What is copied from the build context: (sources, destination), in order."""
        words = [shlex.split(what) for name, what in self.steps if name == "COPY"]
        return [(copy[:-1], copy[-1]) for copy in words if not copy[0].startswith("--from=")]


@dataclass(frozen=True)
class Dockerfile:
    arguments: dict
    stages: list

    @property
    def build(self):
        return self.stages[0]

    @property
    def image(self):
        return self.stages[-1]


def read(path):
    arguments, stages = {}, []
    for instruction, what in instructions(path.read_text()):
        if instruction == "FROM":
            words = what.split()
            stages.append(Stage(words[0], words[2] if len(words) == 3 else ""))
        elif stages:
            stages[-1].steps.append((instruction, what))
        elif instruction == "ARG":
            name, _, value = what.partition("=")
            arguments[name] = value
        else:
            raise ValueError(f"{instruction} before the first FROM")
    return Dockerfile(arguments, stages)


def instructions(text):
    """Each with its lines joined, comments left out."""
    logical = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or not (logical or line.strip()):
            continue
        if line.endswith("\\"):
            logical += line[:-1] + " "
            continue
        name, _, what = (logical + line).strip().partition(" ")
        yield name.upper(), what.strip()
        logical = ""
    if logical:
        raise ValueError("the last instruction does not end")
