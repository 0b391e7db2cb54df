"""The gateways that a yard's front door is measured against, installed by the bench into folders of their own.

They keep no ledger here and lose what is in flight when they die: their best case. What can't be installed or does not
start is left out, with a line that says why.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks.stage import BenchError, Stage
from cli import ask
from cli.yard import next_free_port

PEERS = Path("var/peers")
LITELLM, PORTKEY = "1.106.2", "1.15.2"
"""The versions whose figures docs/benchmarks.md quotes."""
INSTALL_S = 900.0
FIRST_PORT = 8700
HOST = "127.0.0.1"
LITELLM_CONFIG = """\
model_list:
  - model_name: bench/bench-1
    litellm_params:
      model: openai/bench-1
      api_base: {upstream_url}
      api_key: none
litellm_settings:
  drop_params: true
"""


class Missing(Exception):
    """A gateway can't be had here; the message says why."""


class Gateway(msgspec.Struct, frozen=True):
    """Something that serves chat completions."""

    name: str
    url: str
    headers: Mapping[str, str]
    pids: tuple[int, ...]
    """All of its processes' roots, whose CPU is its cost."""


def litellm(stage: Stage) -> Gateway:
    """LiteLLM's proxy with one worker, set for production. Raises Missing."""
    home = PEERS / "litellm"
    program = (home / "bin" / "litellm").absolute()
    if not program.exists():
        _run("python3 -m venv", sys.executable, "-m", "venv", str(home))
        _run("pip install", str(home / "bin" / "python"), "-m", "pip", "install", "-q", f"litellm[proxy]=={LITELLM}")
    config = stage.folder / "litellm.yaml"
    config.write_text(LITELLM_CONFIG.format(upstream_url=stage.upstream_url), encoding="utf-8")
    port, key = next_free_port(HOST, FIRST_PORT), f"sk-{secrets.token_hex(8)}"
    environment = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MASTER_KEY": key,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
    }
    argv = (str(program), "--config", str(config.absolute()), "--host", HOST, "--port", str(port), "--num_workers", "1")
    child = stage.start("litellm", argv, environment)
    _wait(stage, f"http://{HOST}:{port}", "/health/liveliness", "litellm")
    headers = {"authorization": f"Bearer {key}"}
    return Gateway("LiteLLM", f"http://{HOST}:{port}/v1/chat/completions", headers, (child.pid,))


def portkey(stage: Stage) -> Gateway:
    """Portkey's gateway on Node. Raises Missing."""
    home = PEERS / "portkey"
    program = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if shutil.which("node") is None:
        raise Missing("there is no Node.js")
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        _run("npm install", "npm", "install", "--prefix", str(home), "--silent", f"@portkey-ai/gateway@{PORTKEY}")
    port = next_free_port(HOST, FIRST_PORT + 1)
    argv = ("node", str(program.absolute()), "--headless", f"--port={port}")
    child = stage.start("portkey", argv, {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": HOST})
    _wait(stage, f"http://{HOST}:{port}", "/", "portkey")
    headers = {
        "authorization": "Bearer none",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": stage.upstream_url,
    }
    return Gateway("Portkey", f"http://{HOST}:{port}/v1/chat/completions", headers, (child.pid,))


PEERS_OF_THE_DOOR: tuple[Callable[[Stage], Gateway], ...] = (litellm, portkey)


def _wait(stage: Stage, url: str, path: str, group: str) -> None:
    try:
        stage.wait(lambda: ask.get(url, path) is not None, f"{group} answers", group)
    except BenchError as error:
        raise Missing(str(error)) from error


def _run(what: str, *argv: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{what}: {error}") from error
    if done.returncode:
        raise Missing(f"{what} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
