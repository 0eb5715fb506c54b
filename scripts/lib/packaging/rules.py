"""What two files say of the same thing must agree. Each rule answers what is wrong, in sentences; it mends nothing."""

import re
import subprocess
import tomllib

import compose

# What gcr.io/distroless/cc brings: glibc and the compiler's runtime.
LOADER = {"linux-vdso", "ld-linux-x86-64", "ld-linux-aarch64"}
RUNTIME = LOADER | {"libc", "libm", "libdl", "libpthread", "librt", "libgcc_s"}
DEBIAN = {"bookworm": "debian12", "trixie": "debian13"}
# Settings of the commands of a user, not of a role.
OF_USERS = {"MCP_SERVER", "MCP_API_KEY"}
# The other ways to say what the file says by DATABASE_URL and REDIS_URL.
ALIASES = {"POSTGRES_DSN", "REDIS_HOST", "REDIS_PORT"}
REQUIRED = {"POSTGRES_PASSWORD", "MCP_HASH_KEY", "MCP_API_KEYS"}
# Who may know what.
SECRETS = {"MCP_API_KEYS": {"mcp-api"}, "MCP_HASH_KEY": {"mcp-api"}, "OPENAI_API_KEY": {"mcp-worker"}}


def one_rust(root, dockerfile, _services):
    promised = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    used = dockerfile.arguments.get("RUST_VERSION")
    if used != promised:
        yield f"Dockerfile builds with Rust {used}, Cargo.toml's rust-version is {promised}: write the same"
    if not dockerfile.build.image.startswith("rust:${RUST_VERSION}-"):
        yield f"the build stage is {dockerfile.build.image}, not the official image of RUST_VERSION"


def one_debian(_root, dockerfile, _services):
    release = DEBIAN.get(dockerfile.build.image.rpartition("-")[2])
    if not release or release not in dockerfile.image.image:
        yield f"built on {dockerfile.build.image}, run on {dockerfile.image.image}: another Debian has another glibc"


def nobody_is_root(_root, dockerfile, services):
    if 0 in dockerfile.image.user:
        yield "the image runs as root"
    for name, service in ours(services):
        if not service.raw.get("read_only"):
            yield f"{name}: its root file system can be written"


def one_port(_root, dockerfile, services):
    api = services["mcp-api"]
    inside = [str(port).rpartition(":")[2] for port in api.raw["ports"]]
    if dockerfile.image.ports != inside or inside[0] not in api.command:
        yield f"the image exposes {dockerfile.image.ports}, Compose publishes {inside}, the API is told {api.command}"
    for name, service in services.items():
        if name != "mcp-api" and service.raw.get("ports"):
            yield f"{name} publishes a port: only the API is for others"


def can_be_scaled(_root, _dockerfile, services):
    for name, service in services.items():
        if "container_name" in service.raw:
            yield f"{name} has a container_name, so there can be one only"


def time_to_drain(_root, _dockerfile, services):
    worker = services["mcp-worker"]
    drain = int(worker.environment["MCP_DRAIN_MS"]) / 1000
    if worker.grace < drain + 5:
        yield f"a worker may drain for {drain:g} s and is killed after {worker.grace:g} s: leave five seconds more"


def every_setting(root, _dockerfile, services):
    example = (root / ".env.example").read_text()
    described = set(re.findall(r"^#([A-Z][A-Z0-9_]*)=", example, re.MULTILINE)) - OF_USERS - ALIASES
    passed = set(services["mcp-api"].environment) | set(services["mcp-worker"].environment)
    for name in sorted(described - passed):
        yield f"{name} is in .env.example and docker-compose.mcp.yml passes it to nobody: add it where it is read"
    for name in sorted(passed - described):
        yield f"{name} is in docker-compose.mcp.yml and .env.example does not know it"


def secrets(root, _dockerfile, services):
    if (found := compose.required(root / "docker-compose.mcp.yml")) != REQUIRED:
        yield f"Compose insists on {sorted(found)}, and should on {sorted(REQUIRED)}"
    for name, service in ours(services):
        for secret, holders in SECRETS.items():
            if secret in service.environment and name not in holders:
                yield f"{name} is given {secret} and has no use for it"


RULES = [one_rust, one_debian, nobody_is_root, one_port, can_be_scaled, time_to_drain, every_setting, secrets]


def broken(root, dockerfile, services):
    return [problem for rule in RULES for problem in rule(root, dockerfile, services)]


def foreign_libraries(binary):
    """Shared libraries the binary wants and the runtime image does not have."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True)
    if done.returncode:
        return [f"ldd cannot read {binary}: {done.stderr.strip() or done.stdout.strip()}"]
    wanted = [line.split()[0].rpartition("/")[2] for line in done.stdout.splitlines()]
    strange = [name for name in wanted if name.partition(".so")[0] not in RUNTIME]
    return [f"the binary needs {name}, which the runtime image does not have" for name in strange]


def ours(services):
    image = services["mcp-api"].raw["image"]
    return [(name, service) for name, service in services.items() if service.raw["image"] == image]
