"""The ways the product is run, one class each. A mode more is a class more and a name in MODES."""

import os
import subprocess
import uuid
from pathlib import Path

from processes import Failure, Process, cpu_seconds, free_port, resident_bytes, tree_cpu_seconds

KEYS = {"bench": "sk-bench-0123456789abcdef", "crowd": "sk-crowd-0123456789abcdef"}


class Mode:
    """A running product: where it answers, and which processes it consists of."""

    name = title = ""
    #: The process that clients talk to.
    entrance = "api"

    def __init__(self, context, settings):
        self.context = context
        self.settings = dict(settings)
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

    def ports(self):
        """Ports of its other servers, by number."""
        return {}

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
    title = "Embedded: `mcpctl up` (SQLite)"
    entrance = "up"

    def start(self):
        up = self.spawn("up", "up", "--port", "0", "--data", str(self.folder / "data"))
        self.url = up.says(r"API\s+(http://[^/\s]+)/")

    def stored(self):
        return sum(file.stat().st_size for file in (self.folder / "data").iterdir())


class ClusterPostgres(Mode):
    """One API and one worker on PostgreSQL alone."""

    name = "cluster-postgres"
    title = "Cluster without Redis: `mcpctl api` + `worker` (PostgreSQL)"

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


class ClusterRedis(ClusterPostgres):
    """The same with a Redis of its own, new and empty each time."""

    name = "cluster-redis"
    title = "Cluster: `mcpctl api` + `worker` (PostgreSQL and Redis)"

    def start(self):
        self.redis_port = free_port()
        password = uuid.uuid4().hex
        config = self.folder / "redis.conf"
        # In a file, because everybody can read a command line.
        config.touch(mode=0o600)
        config.write_text(
            f"bind 127.0.0.1\nport {self.redis_port}\nrequirepass {password}\nsave \"\"\nappendonly no\n"
            f"maxmemory-policy noeviction\ndir {self.folder}\n"
        )
        redis = Process("redis", [self.context.redis, config], {}, self.folder)
        self.processes.append(redis)
        redis.says("(Ready to accept connections)")
        self.settings["REDIS_URL"] = f"redis://default:{password}@127.0.0.1:{self.redis_port}"
        super().start()

    def ports(self):
        return {self.redis_port: "redis"}


MODES = {mode.name: mode for mode in (ClusterRedis, ClusterPostgres, Embedded)}
