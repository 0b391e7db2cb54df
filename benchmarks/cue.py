"""How the bench and the programs that drive load talk: ready, go, one JSON line a mark, and quiet until the end.

A driver prepares everything first (imports, prompts, connections), so that start-up counts for nobody, and stays
alive when it is done, so that its CPU can still be read.
"""

import json
import sys
import time
from typing import Any

READY, GO = "ready", "go"


def wait_for_go() -> float:
    """Say that all is prepared and wait for the word; returns the time it came, in epoch seconds."""
    print(READY, flush=True)
    word = sys.stdin.readline().strip()
    if word != GO:
        sys.exit(f"expected {GO!r} on stdin, got {word!r}")
    return time.time()


def mark(**facts: Any) -> None:
    """Tell the bench something, as one line of JSON."""
    print(json.dumps(facts), flush=True)


def rest() -> None:
    """Stay until the bench closes stdin."""
    sys.stdin.read()
