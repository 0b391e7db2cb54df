"""Submits to a yard as its users do: one bulk of NDJSON lines, then a look at the batch twice a second.

python -m benchmarks.submit COUNT [--leave]     # addresses come in YARD_URL and YARD_KEY

`--leave` ends after the 202. Marks: `began_s`, `submit_s`, `batch`, then (unless left) `ended`.
"""

import argparse
import http.client
import os
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks import cue
from benchmarks.prompts import body, prompts

LOOK_S = 0.5
MODEL = "bench/bench-1"
POLICY = "bench"
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


def lines(count: int) -> bytes:
    """The bulk's body: that many jobs."""
    jobs = (
        {"request": body(prompt, MODEL), "policy": POLICY, "custom_id": f"ticket-{n}"}
        for n, prompt in enumerate(prompts(count))
    )
    return b"\n".join(map(msgspec.json.encode, jobs)) + b"\n"


def ended_jobs(batch: dict[str, Any]) -> int:
    """How many jobs of a batch have ended, by its counts."""
    return sum(int(count) for state, count in batch["counts"].items() if state in TERMINAL)


def ask(connection: http.client.HTTPConnection, method: str, path: str, content: bytes | None = None) -> dict[str, Any]:
    """One call of the API. Exits with its answer when that is no success."""
    headers = {"Authorization": f"Bearer {os.environ['YARD_KEY']}", "Content-Type": "application/x-ndjson"}
    connection.request(method, path, content, headers)
    reply = connection.getresponse()
    text = reply.read()
    if reply.status not in {200, 202}:
        sys.exit(f"{method} {path} answered {reply.status}: {text[:2000].decode(errors='replace')}")
    answer: dict[str, Any] = msgspec.json.decode(text)
    return answer


def main(count: int, *, leaves: bool) -> None:
    """Submit when told to, then wait for the end."""
    content = lines(count)
    connection = http.client.HTTPConnection(urlsplit(os.environ["YARD_URL"]).netloc)
    ask(connection, "GET", "/readyz")
    began_s = cue.wait_for_go()
    batch = ask(connection, "POST", "/v1/jobs/bulk", content)
    cue.mark(began_s=began_s, submit_s=time.time() - began_s, batch=batch["id"])
    if not leaves:
        while ended_jobs(ask(connection, "GET", f"/v1/batches/{batch['id']}")) < count:
            time.sleep(LOOK_S)
        cue.mark(ended=count)
    cue.rest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--leave", action="store_true")
    chosen = parser.parse_args()
    main(chosen.count, leaves=chosen.leave)
