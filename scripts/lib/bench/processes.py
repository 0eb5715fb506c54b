"""Processes: started, found to be ready, measured from /proc, stopped.

Nothing here knows what is being benchmarked.
"""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """What the benchmark cannot go on without did not happen. The text is for people."""


class Process:
    """A process whose output goes to files. `settings` is all of its environment beside PATH."""

    def __init__(self, name, command, settings, folder):
        self.name = name
        self.output = folder / f"{name}.out"
        self.log = folder / f"{name}.log"
        with open(self.output, "wb") as out, open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={"PATH": os.environ["PATH"], **settings},
            )
        self.pid = self.child.pid

    def says(self, pattern, seconds=30):
        """Waits until its stdout matches, and returns the first group."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.output.read_text(errors="replace"))
            if found:
                return found.group(1)
            if self.child.poll() is not None:
                break
            time.sleep(0.02)
        raise Failure(f"{self.name} did not start: {self.tail()}")

    def check(self):
        """Fails if it has ended."""
        ended = self.child.poll()
        if ended is not None:
            raise Failure(f"{self.name} ended ({ended}): {self.tail()}")

    def tail(self):
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self):
        """Ends it, in order if it can."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                # A second signal asks not to wait for what is running.
                self.child.wait(2)
            except subprocess.TimeoutExpired:
                self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


def _stat(pid):
    # The name stands in brackets and may hold anything; what follows the last one is fields.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICK


def tree(pid):
    """The process and all below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(entry.name)[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found


def tree_cpu_seconds(pid):
    """User and system time of a process with all below it; what has ended counts once its parent has heard of it."""
    total = 0.0
    for process in tree(pid):
        try:
            total += sum(map(int, _stat(process)[11:15])) / TICK
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def tree_memory(pid):
    """Bytes of a process with all below it; what they share counts once (PSS)."""
    total = 0
    for process in tree(pid):
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(re.search(r"^Pss:\s+(\d+) kB", rollup, re.M).group(1)) * 1024
    return total


def resident_bytes(pid):
    """Resident memory now, and the most there ever was."""
    status = Path(f"/proc/{pid}/status").read_text()
    return tuple(
        int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M).group(1)) * 1024 for field in ("VmRSS", "VmHWM")
    )


def free_port():
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def await_listener(address, seconds=10, check=lambda: None):
    """Waits until somebody listens there. `check` fails when that is not to be expected any more."""
    host, port = address.split(":")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        check()
        try:
            socket.create_connection((host, int(port))).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise Failure(f"nobody listens on {address}")
