"""One process as a container would run it: its environment and nothing of ours, no way to write a file, the image's
user where we may become it, its output kept for the case that something goes wrong. Knows nothing of the stack.
"""

import os
import signal
import subprocess
import threading
import time

# Where each program of an image would be found by its name. The rest of a container's environment is the file's.
CLEAN = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
# No file may grow, and no program it starts may have more rights.
CONFINED = ["setpriv", "--no-new-privs", "--", "prlimit", "--fsize=0", "--"]


class Failed(Exception):
    """The stack does not do what it should."""


def confined(user):
    """As the image's user, if that is ours to choose."""
    return {"user": user[0], "group": user[1], "extra_groups": []} if os.geteuid() == 0 else {}


class Process:
    def __init__(self, name, argv, environment, user):
        self.name = name
        self.lines = []
        self.child = subprocess.Popen(
            CONFINED + argv,
            cwd="/",
            env=CLEAN | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            **confined(user),
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        self.lines.extend(self.child.stdout)

    @property
    def pid(self):
        # setpriv and prlimit become the program: it is still the same process.
        return self.child.pid

    @property
    def code(self):
        """How it ended; none while it runs."""
        return self.child.poll()

    @property
    def said(self):
        if self.code is not None:
            self.reader.join(5)
        return "".join(self.lines)

    def tail(self):
        return "".join(self.lines[-30:])

    def fail(self, what):
        self.reader.join(1)
        raise Failed(f"{self.name} {what}\n{self.tail()}")

    def finish(self, within):
        """Waits for its end, which must be a good one."""
        try:
            code = self.child.wait(within)
        except subprocess.TimeoutExpired:
            self.fail(f"has not ended after {within:g} s")
        if code != 0:
            self.fail(f"ended with {code}")

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        if self.code is None:
            os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()


def until(what, question, explain=str, within=60.0, pause=0.1):
    """Asks until the answer is true. Docker asks a health check the same way; the deadline is for what hangs."""
    deadline = time.monotonic() + within
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not after {within:g} s\n{explain()}")
        time.sleep(pause)
    return answer
