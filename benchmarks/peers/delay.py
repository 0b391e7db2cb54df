"""Submits to the plain Celery app as its tutorial does: one `.delay()` a job.

python -m benchmarks.peers.delay COUNT          # addresses come in PEER_BROKER
"""

import sys
import time

from benchmarks import cue
from benchmarks.peers.app import app, complete
from benchmarks.prompts import prompts


def main(count: int) -> None:
    """Submit that many jobs when told to; the broker's connection is open before."""
    waiting = prompts(count)
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=3)
    began_s = cue.wait_for_go()
    for prompt in waiting:
        complete.delay(prompt)
    cue.mark(began_s=began_s, submit_s=time.time() - began_s)
    cue.rest()


if __name__ == "__main__":
    main(int(sys.argv[1]))
