"""OpenAI's official client for Node, installed from its lock for a test."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = Path(__file__).parent / "node"
INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline")
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")
"""npm's words for a registry out of reach; whatever else it says is a fault of ours."""
LIMIT_S = 120.0


def install(folder: Path) -> None:
    """Put the client and the scripts that use it into a folder; skips the test where that cannot be done here."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"install {' and '.join(missing)} to prove the front door with OpenAI's client for Node")
    shutil.copytree(NODE, folder, dirs_exist_ok=True)
    installed = subprocess.run(INSTALL, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if any(word in installed.stderr for word in UNREACHABLE):
        pytest.skip(f"npm cannot fetch OpenAI's client for Node: {installed.stderr[:300]}")
    assert installed.returncode == 0, installed.stderr


def run(folder: Path, script: str, given: bytes = b"", **where: str) -> bytes:
    """What a script of that folder prints; `where` are environment variables."""
    environment = {**where, "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        ("node", script), cwd=folder, env=environment, input=given, capture_output=True, timeout=LIMIT_S, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout
