"""`scripts/check-packaging`, after the schema and the linter: holds the Dockerfile and the compose file to each other,
rehearses the build without compiling, and plays the stack without containers. Says what it does, one line each.
"""

import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import compose
import context
import dockerfile
import rules
import scenario
from process import Failed
from stack import Stack

ROOT = Path.cwd()
FOLDER = Path(os.environ["PACKAGING_FOLDER"])
POSTGRES = os.environ["PACKAGING_POSTGRES"]


def step(what, action):
    started = time.monotonic()
    problems = action() or []
    print(f"{what}: {'FAILED' if problems else 'ok'} ({time.monotonic() - started:.1f} s)", flush=True)
    for problem in problems:
        print(f"  {problem}", flush=True)
    return bool(problems)


def programs():
    """What the images bring. The binary is a copy, where the image's user can reach it and nobody rebuilds it."""
    binary = FOLDER / "mcpctl"
    shutil.copyfile(os.environ["PACKAGING_MCPCTL"], binary)
    binary.chmod(0o755)
    postgres, redis = Path(os.environ["PACKAGING_POSTGRES_BIN"]), Path(os.environ["PACKAGING_REDIS"])
    # valkey-server has a valkey-cli beside it.
    client = redis.with_name(redis.name.replace("-server", "-cli"))
    return {
        "mcpctl": str(binary),
        "psql": str(postgres / "psql"),
        "pg_isready": str(postgres / "pg_isready"),
        "redis-server": str(redis),
        "redis-cli": str(client),
    }


def refuses_to_start_without(file, variables):
    """Compose must stop where a secret is not set; empty is as good as not set."""
    for name in sorted(rules.REQUIRED):
        try:
            compose.services(file, variables | {name: ""})
        except compose.Missing:
            continue
        yield f"{file.name} can be started without {name}"


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    file, image = ROOT / "docker-compose.mcp.yml", dockerfile.read(ROOT / "Dockerfile")
    tenant_key, admin_key = secrets.token_hex(16), secrets.token_hex(16)
    variables = {
        "POSTGRES_PASSWORD": urlsplit(POSTGRES).password,
        "MCP_HASH_KEY": secrets.token_hex(32),
        "MCP_API_KEYS": f"acme:{tenant_key},ops:{admin_key}:admin",
        "MCP_SIMULATOR_URL": "http://mcp-simulator:8001/v1",
    }
    services = compose.services(file, variables)
    at_hand = programs()
    failed = step("the files agree", lambda: rules.broken(ROOT, image, services))
    failed |= step("secrets are insisted on", lambda: list(refuses_to_start_without(file, variables)))
    failed |= step("the binary finds its libraries", lambda: rules.foreign_libraries(os.environ["PACKAGING_MCPCTL"]))
    with tempfile.TemporaryDirectory(dir=FOLDER) as copy:
        failed |= step("the build's steps", lambda: context.rehearse(ROOT, image, Path(copy)))

    stack = Stack(services, image.image, at_hand, POSTGRES)
    document = ROOT / "docs" / "deploy.md"
    try:
        failed |= step("up", stack.up)
        failed |= step("runs", lambda: scenario.play(stack, document, tenant_key, admin_key))
        failed |= step("down", stack.down)
    except Failed as error:
        print(f"the stack: FAILED\n  {error}", flush=True)
        failed = True
    finally:
        stack.kill()
    return 1 if failed else 0


sys.exit(main())
