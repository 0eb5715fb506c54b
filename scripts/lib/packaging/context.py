"""The build stage without a container: what the context holds, what is copied, and whether cargo can work with it.

Where the image would be built, cargo only fetches: that reads every manifest and the lock file and compiles nothing.
Never run in the repository itself, always in a copy.
"""

import re
import shutil
import subprocess

BUILD = re.compile(r"cargo build\b[^&]*")
# As strict with manifests and the lock file as a build is (`cargo metadata` and `cargo tree` are not), and fetches only
# what a build on this machine has fetched before.
REHEARSAL = 'cargo fetch --locked --quiet --target "$(rustc --print host-tuple)"'
# Left behind when the dependencies have been built, for its time.
STUBS = ".stubs-built"


class Ignore:
    """`.dockerignore`: the last pattern that fits decides, `!` lets in again."""

    def __init__(self, path):
        lines = [line.strip() for line in path.read_text().splitlines()]
        self.rules = [
            (pattern(line.removeprefix("!").strip("/")), not line.startswith("!"))
            for line in lines
            if line and not line.startswith("#")
        ]

    def leaves_out(self, path):
        """`path` is relative, of a file. A pattern that fits a folder fits what is in it."""
        fits = [out for rule, out in self.rules if rule.match(path)]
        return bool(fits) and fits[-1]


def pattern(text):
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", text)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part, re.escape(part)) for part in parts) + r"(?:/.*)?\Z")


def files(root, folder):
    return [path.relative_to(root).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]


def rehearse(root, dockerfile, stage_folder):
    """Carries the build stage's steps out in `stage_folder`, in order, and answers what went wrong."""
    ignore = Ignore(root / ".dockerignore")
    builds = 0
    for name, what in dockerfile.build.steps:
        if name == "COPY":
            *sources, destination = what.split()
            for source in sources:
                if not copy(root, source, stage_folder / destination, destination.endswith("/"), ignore):
                    return [f"COPY {what}: nothing of {source} is in the build context (see .dockerignore)"]
        elif name == "RUN":
            builds += len(BUILD.findall(what))
            script = BUILD.sub(REHEARSAL, what)
            done = subprocess.run(["sh", "-ec", script], cwd=stage_folder, capture_output=True, text=True)
            if done.returncode:
                return [f"RUN {what}\n{done.stderr.strip()}"]
            if builds == 1:
                (stage_folder / STUBS).touch()
    if builds != 2:
        return [f"the build stage builds {builds} times: once for the dependencies, once for the program"]
    return missing(root, stage_folder)


def copy(root, source, target, into, ignore):
    """Copies a file or a folder's content, as COPY does. Answers whether there was anything."""
    origin = root / source
    if origin.is_file():
        if ignore.leaves_out(source):
            return False
        target = target / origin.name if into or target.is_dir() else target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(origin, target)
        return True
    found = [path for path in files(root, origin) if not ignore.leaves_out(path)]
    for path in found:
        place = target / (root / path).relative_to(origin)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / path, place)
    return bool(found)


def missing(root, stage_folder):
    """Every source of every member must have arrived, and must be newer than the empty ones it replaces."""
    problems, stubs = [], (stage_folder / STUBS).stat().st_mtime_ns
    for manifest in sorted(root.glob("*/Cargo.toml")):
        member = manifest.parent.name
        for path in files(root, manifest.parent):
            if path.startswith(f"{member}/tests/"):
                continue
            arrived = stage_folder / path
            if not arrived.is_file() or arrived.read_bytes() != (root / path).read_bytes():
                problems.append(f"{path} does not reach the build")
            elif path.endswith(".rs") and arrived.stat().st_mtime_ns < stubs:
                problems.append(f"{path} is older than the empty source: cargo would not build it")
    return problems
