"""The ways the product is run, one class each. A mode more (Redis) is a class more and a line in MODES."""

import os
import subprocess
import uuid
from pathlib import Path

from processes import Failure, Process, cpu_seconds, resident_bytes, tree_cpu_seconds

KEYS = {"bench": "sk-bench-0123456789abcdef", "crowd": "sk-crowd-0123456789abcdef"}


class Mode:
    """A running product: where it answers, and which processes it consists of."""

    name = title = ""

    def __init__(self, context, provider, settings=None):
        self.context = context
        self.settings = {"MCP_SIMULATOR_URL": provider, **(settings or {})}
        self.processes = []
        self.folder = context.folder / f"{self.name}-{uuid.uuid4().hex[:8]}"
        self.folder.mkdir(mode=0o711)
        self.url = ""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self):
        raise NotImplementedError

    def spawn(self, name, *arguments, **settings):
        process = Process(name, [self.context.mcpctl, *arguments], {**self.settings, **settings}, self.folder)
        self.processes.append(process)
        return process

    def cpu(self):
        """CPU seconds so far, by process. All of them must be alive."""
        for process in self.processes:
            process.check()
        return {process.name: cpu_seconds(process.pid) for process in self.processes}

    def memory(self):
        """Resident bytes (now, at most), by process of ours."""
        return {process.name: resident_bytes(process.pid) for process in self.processes}

    def stored(self):
        """Bytes of the database."""
        raise NotImplementedError

    def stop(self):
        for process in reversed(self.processes):
            process.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Embedded(Mode):
    """One process on SQLite."""

    name = "embedded"
    title = "`mcpctl up` (SQLite)"

    def start(self):
        up = self.spawn("up", "up", "--port", "0", "--data", str(self.folder / "data"))
        self.url = up.says(r"API\s+(http://[^/\s]+)/")

    def stored(self):
        return sum(file.stat().st_size for file in (self.folder / "data").iterdir())


class Postgres(Mode):
    """One API and one worker on PostgreSQL."""

    name = "postgres"
    title = "`mcpctl api` + `worker` (PostgreSQL)"

    def start(self):
        self.database = f"bench_{uuid.uuid4().hex[:12]}"
        self.sql(self.context.postgres, f"CREATE DATABASE {self.database}")
        self.server = int((Path(self.context.postgres_data) / "postmaster.pid").read_text().split()[0])
        url = self.context.postgres.rsplit("/", 1)[0] + "/" + self.database
        self.settings |= {"DATABASE_URL": url, "MCP_HASH_KEY": "0" * 64}
        migrate = self.spawn("migrate", "migrate")
        if migrate.child.wait() != 0:
            raise Failure(f"migrate: {migrate.tail()}")
        self.processes.remove(migrate)
        api = self.spawn("api", "api", "--port", "0")
        self.url = api.says(r"listening on (\S+)")
        self.spawn("worker", "worker")

    def cpu(self):
        return {**super().cpu(), "postgres": tree_cpu_seconds(self.server)}

    def stored(self):
        return int(self.sql(self.settings["DATABASE_URL"], "SELECT pg_database_size(current_database())"))

    def stop(self):
        super().stop()
        if hasattr(self, "database"):
            self.sql(self.context.postgres, f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")

    def sql(self, url, statement):
        done = subprocess.run(
            [self.context.psql, "--no-psqlrc", "--quiet", "-At", "-c", statement, url],
            capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, check=False,
        )
        if done.returncode != 0:
            raise Failure(f"psql: {done.stderr}")
        return done.stdout.strip()


MODES = {mode.name: mode for mode in (Embedded, Postgres)}
