"""A yard of real processes for clients of the OpenAI door: an API, a worker, a dispatcher, a provider."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from cli import processes
from cli.processes import environment
from cli.yard import CHECKOUT, next_free_port
from tests.api.fronts.upstream import Upstream, serving
from tests.faults.harness import HOST, Running

SETTINGS = """
[worker]
slots = 8
poll_s = 0.5
[dispatcher]
tick_ms = 50
sweep_s = 0.2
[providers.lab]
dialect = "openai"
base_url = "{url}"
[providers.spare]
dialect = "openai"
base_url = "{url}"
[providers.ill]
dialect = "openai"
base_url = "{url}"
[providers.frail]
dialect = "openai"
base_url = "{url}"
[providers.sick]
dialect = "openai"
base_url = "{url}"
[providers.off]
dialect = "openai"
base_url = "{url}"
keys = [{{ env = "A_KEY_THAT_NOBODY_HAS" }}]
{models}
[policies.auto]
tiers = [["maker/small@lab"]]
attempts_per_deployment = 1
[policies.patient]
tiers = [["maker/small@lab"]]
on_disconnect = "finish"
[policies.sure]
tiers = [["maker/small@lab"], ["maker/large"]]
min_confidence = 0.9
[policies.again]
tiers = [["maker/ill@frail", "maker/small@spare"]]
choose = "ordered"
attempts_per_deployment = 1
[policies.ill]
tiers = [["maker/ill@ill"]]
attempts_per_deployment = 1
[policies.nowhere]
tiers = [["maker/dark"]]
"""
MODEL = """
[[models]]
id = "maker/{name}"
context_tokens = 32_768
max_output_tokens = 4_096
has_tools = true
has_logprobs = true
source = "a test"
"""
DEPLOYMENT = """
[[deployments]]
model = "maker/{name}"
provider = "{provider}"
upstream = "{name}"
price = {{ input = "1.00", output = "2.00", valid_from = 2026-01-01, source = "a test" }}
"""
SERVED = (
    ("small", "lab"),
    ("small", "spare"),
    ("large", "lab"),
    ("ill", "ill"),
    ("ill", "frail"),
    ("ill", "sick"),
    ("dark", "off"),
)
"""What goes wrong goes wrong at providers of its own: their breakers open."""
START_S = 60.0


@dataclass(frozen=True)
class Yard:
    """Where it is, and with what key."""

    url: str
    key: str
    upstream: Upstream
    redis_url: str
    database_url: str

    @property
    def base_url(self) -> str:
        """What existing code changes."""
        return f"{self.url}/v1"


@contextmanager
def opened(folder: Path, database_url: str, redis_url: str) -> Iterator[Yard]:
    with serving() as upstream, ExitStack() as end:
        config = folder / "tokenyard.toml"
        models = "".join(MODEL.format(name=name) for name in ("small", "large", "ill", "dark"))
        models += "".join(DEPLOYMENT.format(name=name, provider=provider) for name, provider in SERVED)
        config.write_text(SETTINGS.format(url=upstream.url, models=models))
        addresses = {
            "TOKENYARD_DATABASE_URL": database_url,
            "TOKENYARD_REDIS_URL": redis_url,
            "TOKENYARD_CONFIG": str(config),
        }
        port = next_free_port(HOST, 9300 + os.getpid() % 300)
        wanted = (
            processes.api(HOST, port),
            processes.worker("door", ["interactive", "bulk"], 8),
            processes.dispatcher(),
        )
        running = [Running(process, addresses, folder / f"{process.name}.log") for process in wanted]
        for each in running:
            end.callback(each.end)
        made = processes.bootstrap_key()
        key = subprocess.run(made.argv, env=environment(made, addresses), cwd=CHECKOUT, capture_output=True, check=True)
        url = f"http://{HOST}:{port}"
        wait(url, running[0])
        yield Yard(url, key.stdout.decode().strip(), upstream, redis_url, database_url)


def wait(url: str, api: Running) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if httpx2.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            assert api.is_alive, api.last_words()
        time.sleep(0.05)
    raise AssertionError(api.last_words())
