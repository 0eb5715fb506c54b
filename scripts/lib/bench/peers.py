"""What people would use instead: gateways, installed from their registries below target/bench, driven as the
OpenAI-compatible endpoints that they are.

None of them queues or keeps anything. Versions are fixed here, so that a figure can be measured again.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from processes import Failure, Process, await_listener, free_port, tree_cpu_seconds, tree_memory

HOME = Path("target/bench").resolve()
INSTALL_SECONDS = 600
#: The provider does not look at it; what the gateways want to be one is one.
KEY = "sk-bench-0123456789abcdef0123456789abcdef"
#: The generator's scripts by load: LiteLLM takes a comma in a model's name for several models, so it gets names.
SCRIPTS = {
    "paced": "sim:first=20000us,pace=5000us,tokens=100",
    "flat": "sim:first=0us,pace=0us,tokens=16",
}


class Peer:
    """A running gateway. Of the same form as a mode: where it answers, and what it uses."""

    name = title = version = ""
    #: How long it may take to answer for the first time.
    patience = 120

    def __init__(self, context, provider):
        self.context = context
        self.provider = provider
        self.folder = context.folder / self.name
        self.folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.process = self.start()
        try:
            await_listener(f"127.0.0.1:{self.port}", self.patience, self.process.check)
        except BaseException:
            self.process.stop()
            raise

    def start(self):
        raise NotImplementedError

    @classmethod
    def install(cls, context):
        """Puts it below target/bench, unless this version is there."""
        home = HOME / f"{cls.name}-{cls.version}"
        done = home / "installed"
        if not done.exists():
            context.say(f"{cls.name}: installing {cls.version} below {home}")
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            cls.fetch(home)
            done.touch()
        return home

    @classmethod
    def fetch(cls, home):
        raise NotImplementedError

    def arguments(self, load):
        """How the generator is told to send a load there."""
        del load
        return []

    def cpu(self):
        self.process.check()
        return {self.name: tree_cpu_seconds(self.process.pid)}

    def memory(self):
        """Bytes now, of the whole tree."""
        return tree_memory(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()


class LiteLLM(Peer):
    """LiteLLM's proxy with two workers, without a database."""

    name = "litellm"
    title = "LiteLLM proxy, 2 workers"
    version = "1.106.2"

    @classmethod
    def fetch(cls, home):
        run([sys.executable, "-m", "venv", home / "venv"])
        run([home / "venv/bin/pip", "install", "--quiet", "--disable-pip-version-check",
             f"litellm[proxy]=={cls.version}"])

    def start(self):
        config = self.folder / "config.yaml"
        # JSON is YAML.
        config.write_text(json.dumps({
            "model_list": [
                {"model_name": name,
                 "litellm_params": {"model": f"openai/{script}", "api_base": self.provider, "api_key": KEY}}
                for name, script in SCRIPTS.items()
            ],
            "litellm_settings": {"telemetry": False, "num_retries": 0},
            "general_settings": {"master_key": KEY},
        }))
        binary = HOME / f"{self.name}-{self.version}" / "venv/bin/litellm"
        command = [binary, "--config", config, "--host", "127.0.0.1", "--port", str(self.port), "--num_workers", "2",
                   "--telemetry", "False"]
        settings = {"HOME": str(self.folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        return Process(self.name, command, settings, self.folder)

    def arguments(self, load):
        return ["--alias", load]


class Portkey(Peer):
    """Portkey's gateway on Node."""

    name = "portkey"
    title = "Portkey gateway"
    version = "1.15.2"
    #: The newest that the package's manifest allows do not stream: 500, "TypeError: immutable".
    pinned = {"hono": "4.9.7", "@hono/node-server": "1.3.3"}

    @classmethod
    def fetch(cls, home):
        manifest = {"private": True, "dependencies": {"@portkey-ai/gateway": cls.version}, "overrides": cls.pinned}
        (home / "package.json").write_text(json.dumps(manifest))
        run(["npm", "install", "--prefix", home, "--no-audit", "--no-fund", "--ignore-scripts"])

    def start(self):
        program = HOME / f"{self.name}-{self.version}" / "node_modules/@portkey-ai/gateway/build/start-server.js"
        command = ["node", program, f"--port={self.port}", "--headless"]
        return Process(self.name, command, {"HOME": str(self.folder), "NODE_ENV": "production"}, self.folder)

    def arguments(self, load):
        del load
        return ["--header", "x-portkey-provider=openai", "--header", f"x-portkey-custom-host={self.provider}"]


def run(command):
    # With the whole environment: it says where the registries are, and by which way.
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                              timeout=INSTALL_SECONDS)
    except FileNotFoundError as missing:
        raise Failure(f"{command[0]} is missing: install it, or leave out the peer that needs it") from missing
    except subprocess.TimeoutExpired as slow:
        raise Failure(f"{' '.join(map(str, command))}: not done after {INSTALL_SECONDS} s") from slow
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: {done.stderr[-2000:]}")


PEERS = {peer.name: peer for peer in (LiteLLM, Portkey)}
