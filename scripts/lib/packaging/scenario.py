"""What is done with the stack once it is up: the documentation's own command, then a worker is taken away from under
running answers. Speaks the public API and nothing else.
"""

import json
import re
import subprocess
import urllib.request

from process import Failed, until

# Ten seconds each: long enough to lose a worker in the middle, far shorter than it may drain.
SLOW = "sim:first=100ms,pace=100ms,tokens=100"
RUNS = 9


class Api:
    def __init__(self, address, key):
        self.base, self.key = f"http://{address}", key
        # A proxy of this machine's is not asked.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __call__(self, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers)
        with self.opener.open(request, timeout=60) as response:
            return json.load(response)

    def workers(self):
        """Those that take new runs: process id -> runs held."""
        figures = self("/mcp/v1/admin/metrics")["workers"]
        # Named `host:process`.
        return {int(one["name"].rpartition(":")[2]): one["running"] for one in figures if one["status"] == "alive"}


def play(stack, document, tenant_key, admin_key):
    api = Api(stack.addresses["mcp-api:8000"], admin_key)
    tenant = Api(stack.addresses["mcp-api:8000"], tenant_key)
    workers = {container.process.pid: container for container in stack.of("mcp-worker")}
    until("every worker is known", lambda: set(api.workers()) == set(workers))
    documented(stack, document, tenant_key)
    uses_redis(stack)
    scale_down(stack, api, tenant, workers)


def documented(stack, document, key):
    """The first curl of docs/deploy.md, as a reader would paste it."""
    found = re.search(r"^\$ (curl (?:.*\\\n)*.*)$", document.read_text(), re.MULTILINE)
    if not found:
        raise Failed(f"{document} has no curl command that begins with `$ curl`")
    command = found[1].replace("127.0.0.1:8000", stack.addresses["mcp-api:8000"])
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "MCP_API_KEY": key}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Failed(f"{command}\nanswers {done.stdout!r}, and says {done.stderr!r}") from None
    if answer.get("status") != "succeeded" or not answer.get("text"):
        raise Failed(f"{command}\nanswers {answer}")


def uses_redis(stack):
    """Each process holds a connection to the Redis it was given, or its address means nothing."""
    port = stack.addresses["mcp-redis:6379"].rpartition(":")[2]
    listed = subprocess.run(
        [stack.programs["redis-cli"], "-p", port, "client", "list"], check=True, capture_output=True, text=True
    ).stdout
    # Of this listing itself, one.
    clients, wanted = len(listed.splitlines()) - 1, 1 + len(stack.of("mcp-worker"))
    if clients < wanted:
        raise Failed(f"{clients} connections to Redis, from {wanted} processes that are told to use it")


def scale_down(stack, api, tenant, workers):
    """As `--scale mcp-worker=2`: a worker is told to stop while it holds runs. All end, and none is begun again."""
    runs = [tenant("/mcp/v1/request", {"prompt": f"slow {n}", "model": SLOW})["request_id"] for n in range(RUNS)]
    held = until("runs are under way", lambda: {pid: count for pid, count in api.workers().items() if count})
    # The one with the most to lose.
    chosen = max(held, key=held.get)
    workers[chosen].stop()
    for run in runs:
        until(f"{run} has ended", lambda run=run: tenant(f"/mcp/v1/request/{run}")["finished_at"])
        ended = tenant(f"/mcp/v1/request/{run}")
        if (ended["status"], ended["attempts"]) != ("succeeded", 1):
            raise Failed(f"{run} is {ended['status']} after {ended['attempts']} attempt(s): the drain lost it")
    left = set(workers) - {chosen}
    until("the stopped worker is gone", lambda: set(api.workers()) == left)
    for pid in left:
        if not workers[pid].healthy():
            raise Failed(f"{workers[pid].name} is not healthy after another worker has left")
