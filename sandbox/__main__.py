"""Starts one offline provider (`python -m sandbox --name sandbox-east ...`), or trains or judges its models.

`python -m sandbox train --data DIR --cache DIR` trains ahead; `python -m sandbox evaluate ...` prints how good
the models are on rows they never saw. Without a verb it serves until SIGTERM.
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvicorn

from sandbox import evaluation
from sandbox.answers import Desk
from sandbox.calls import CallLog
from sandbox.exchange import OpenHandedProtocol
from sandbox.models import obtain
from sandbox.recipes import RECIPES
from sandbox.server import Provider, Terms

BACKLOG = 2048
KEEP_ALIVE_S = 75


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Exit code 2 when the rows are not where `--data` says or a model has no recipe."""
    chosen = _parser().parse_args(arguments)
    unknown = [name for name in chosen.models if name not in RECIPES]
    if unknown:
        return _complain(f"no model {unknown[0]!r}; there are {', '.join(RECIPES)}")
    try:
        _VERBS[chosen.verb](chosen)
    except FileNotFoundError as error:
        return _complain(f"{error.filename} does not exist; --data must be the folder with the labelled queries")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("verb", nargs="?", choices=list(_VERBS), default="serve")
    parser.add_argument("--data", type=Path, required=True, help="folder with test.csv (trains) and train.csv (judges)")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the trained models")
    parser.add_argument("--models", type=_names, default=list(RECIPES), help="served models, separated by commas")
    parser.add_argument("--name", default="sandbox", help="the provider's name")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--key", help="refuse calls without this key")
    parser.add_argument("--calls", type=Path, help="append the call log to this file")
    parser.add_argument("--latency-ms", type=float, default=150.0)
    parser.add_argument("--chunk-ms", type=float, default=0.0, help="pause between the chunks of a stream")
    parser.add_argument("--seed", type=int, default=0, help="of jitter, fault probabilities and tool arguments")
    parser.add_argument("--ready-file", type=Path, help="written, as JSON, when calls are taken")
    return parser


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _serve(chosen: argparse.Namespace) -> None:
    desks = [Desk(obtain(name, chosen.data, chosen.cache), chosen.name, chosen.seed) for name in chosen.models]
    try:
        listener = socket.create_server((chosen.host, chosen.port), backlog=BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        sys.exit(f"{chosen.host}:{chosen.port} was taken meanwhile: start again, `tokenyard up` looks for free ports")
    terms = Terms(
        name=chosen.name, key=chosen.key, latency_ms=chosen.latency_ms, chunk_ms=chosen.chunk_ms, seed=chosen.seed
    )
    app = Provider(terms, desks, CallLog(chosen.calls), on_ready=lambda: _announce(chosen, listener))
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=OpenHandedProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="critical",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _announce(chosen: argparse.Namespace, listener: socket.socket) -> None:
    """One JSON line on stdout, and the same in the ready file, which appears complete or not at all."""
    port = listener.getsockname()[1]
    ready = {
        "name": chosen.name,
        "url": f"http://{chosen.host}:{port}",
        "port": port,
        "pid": os.getpid(),
        "models": chosen.models,
    }
    line = msgspec.json.encode(ready).decode() + "\n"
    if chosen.ready_file is not None:
        part = chosen.ready_file.with_name(chosen.ready_file.name + ".part")
        part.write_text(line, encoding="utf-8")
        part.replace(chosen.ready_file)
    sys.stdout.write(line)
    sys.stdout.flush()


def _train(chosen: argparse.Namespace) -> None:
    for name in chosen.models:
        facts = obtain(name, chosen.data, chosen.cache).facts
        line = {"model": name, "held_out_log_loss": facts.held_out_log_loss, "strength": facts.strength}
        sys.stdout.write(msgspec.json.encode({**line, "train_s": facts.train_s}).decode() + "\n")


def _evaluate(chosen: argparse.Namespace) -> None:
    small, large = (
        obtain(name, chosen.data, chosen.cache) for name in ("sandbox/intent-small", "sandbox/intent-large")
    )
    summary = msgspec.json.encode(evaluation.report(small, large, chosen.data))
    sys.stdout.write(msgspec.json.format(summary, indent=1).decode() + "\n")


def _complain(message: str) -> int:
    sys.stderr.write(f"sandbox: {message}\n")
    return 2


_VERBS = {"serve": _serve, "train": _train, "evaluate": _evaluate}

if __name__ == "__main__":
    sys.exit(main())
