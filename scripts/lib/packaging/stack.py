"""The stack on this machine: every service of the compose file in the order it asks for, each with its command, its
environment and its health check as they stand there. Only addresses are ours. Postgres is the caller's: what its image
does at the first start is done here.
"""

import random
import re
import signal
import socket
import subprocess
from urllib.parse import urlsplit

from process import Failed, Process, confined, until

REPLICAS = {"mcp-worker": 3}
PORT = re.compile(r"(?<!\d)\d{4,5}(?!\d)")


class Container:
    """One container: a process, and a port here that stands for the one inside."""

    def __init__(self, stack, service, name):
        self.stack, self.service, self.name = stack, service, name
        self.process = None
        # Ours say their port in their command; Redis has the one everybody knows.
        said = [word for word in service.command if PORT.fullmatch(word)]
        self.is_redis = service.command[:1] == ["redis-server"]
        self.inside = "6379" if self.is_redis else (said or [None])[0]
        self.port = None

    def start(self):
        """Starts it and waits until it is healthy, or, without a health check, listens. It is the process that tries
        a port: one that was taken meanwhile means the next one."""
        for _ in range(20):
            self.port = free_port() if self.inside else None
            if self.service.probe and self.healthy():
                raise Failed(f"{self.name} is called healthy before it is started: its health check cannot fail")
            environment = {name: self.stack.here(value) for name, value in self.service.environment.items()}
            self.process = Process(self.name, self.argv(), environment, self.stack.image.user)
            self.stack.containers[self.name] = self
            if self.inside:
                self.stack.addresses[f"{self.service.name}:{self.inside}"] = f"127.0.0.1:{self.port}"
                until(f"{self.name} is healthy", self.settled, self.process.tail)
            if not (self.process.code and re.search("cannot listen|in use", self.process.said)):
                return
        self.process.fail("found no free port")

    def settled(self):
        if self.process.code is not None:
            return True
        return self.healthy() if self.service.probe else listening(self.port)

    def healthy(self):
        """Asks once, as Docker would."""
        words = self.moved(self.service.probe)
        if self.is_redis:
            words[1:1] = ["-p", str(self.port)]
        return self.stack.probe(self.service, words)

    def argv(self):
        words = self.moved(self.service.command)
        if self.is_redis:
            words = words + ["--bind", "127.0.0.1", "--port", str(self.port)]
        else:
            words = self.stack.image.entrypoint + words
        return [self.stack.programs[words[0]], *words[1:]]

    def moved(self, words):
        """The words with the port here for the port inside."""
        here = {self.inside: str(self.port)}
        return [PORT.sub(lambda found: here.get(found[0], found[0]), word) for word in words]

    def stop(self):
        """As `docker stop`: the image's signal, then it has so long to end well."""
        self.process.signal(signal.Signals[self.stack.image.stop_signal])
        self.process.finish(self.service.grace)
        del self.stack.containers[self.name]


class Stack:
    def __init__(self, services, image, programs, postgres):
        """`programs`: what an image would bring, name -> path. `postgres`: the URL of a server that may be used."""
        self.services, self.image, self.programs = services, image, programs
        self.postgres = urlsplit(postgres)
        self.containers = {}
        self.addresses = {"mcp-postgres:5432": f"127.0.0.1:{self.postgres.port}"}

    def up(self):
        for service in self.order():
            if service.name == "mcp-postgres":
                self.adopt_postgres(service)
                continue
            for number in range(REPLICAS.get(service.name, 1)):
                Container(self, service, f"{service.name}-{number + 1}").start()
            self.hold(service)

    def order(self):
        """Each after those it waits for."""
        waiting = dict(self.services)
        while waiting:
            free = [name for name, service in waiting.items() if not set(service.needs) & set(waiting)]
            if not free:
                raise Failed(f"these wait for each other: {sorted(waiting)}")
            yield from [waiting.pop(name) for name in free]

    def hold(self, service):
        """Holds a service to what those ask of it that wait for it."""
        asked = {other.needs.get(service.name) for other in self.services.values()}
        if "service_healthy" in asked and not service.probe:
            raise Failed(f"others wait for {service.name} to be healthy, and it has no health check")
        for container in self.of(service.name):
            if "service_completed_successfully" in asked:
                container.process.finish(60)
                del self.containers[container.name]
            elif container.process.code is not None:
                container.process.fail(f"ended with {container.process.code}")

    def adopt_postgres(self, service):
        """What the image does at its first start: a database for the user, with the password, that the file names."""
        given = service.environment
        if (given["POSTGRES_USER"], given["POSTGRES_PASSWORD"]) != (self.postgres.username, self.postgres.password):
            raise Failed("the Postgres at hand has another user or password than the compose file names")
        create = f"--command=CREATE DATABASE {given['POSTGRES_DB']}"
        subprocess.run([self.programs["psql"], "--no-psqlrc", "--quiet", create, self.postgres.geturl()], check=True)
        if not self.probe(service, service.probe):
            raise Failed("mcp-postgres runs, and its health check does not see it")

    def probe(self, service, words):
        """Runs a health check, and answers whether it is content."""
        done = subprocess.run(
            [self.programs[words[0]], *words[1:]],
            env=service.environment | {"PGPORT": str(self.postgres.port)},
            timeout=service.probe_timeout,
            capture_output=True,
            **confined(self.image.user),
        )
        return done.returncode == 0

    def here(self, value):
        for inside, address in self.addresses.items():
            value = value.replace(inside, address)
        return value

    def of(self, service):
        return [container for container in self.containers.values() if container.service.name == service]

    def down(self):
        """In the opposite order."""
        for service in reversed(list(self.order())):
            for container in self.of(service.name):
                container.stop()

    def kill(self):
        for container in self.containers.values():
            container.process.kill()


def free_port():
    """Below the range that the kernel hands out, so that nobody else gets it by chance."""
    while True:
        port = random.randint(20000, 31999)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port


def listening(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
