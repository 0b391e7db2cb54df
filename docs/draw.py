"""Draws the pages that must not lie from the code they describe: `python docs/draw.py` (a test holds them equal)."""

import ast
import inspect
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import draw_dialects  # noqa: E402 -- after the path is set
import draw_replies  # noqa: E402

from api.fronts.failures import BROKEN, PURGED, STATUSES  # noqa: E402 -- after the path is set
from api.problems import PROBLEMS  # noqa: E402
from jobs.failures import FailureKind  # noqa: E402
from jobs.meters import FACTS  # noqa: E402
from jobs.states import MOVES, TERMINAL, Outcome  # noqa: E402


def members(enum: type) -> list[tuple[str, str]]:
    """(value, sentence) of an enum whose members are followed by a docstring."""
    tree = ast.parse(inspect.getsource(enum)).body[0]
    assert isinstance(tree, ast.ClassDef), enum
    found: list[tuple[str, str]] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found.append((str(node.value.value), ""))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and found:
            found[-1] = (found[-1][0], " ".join(str(node.value.value).split()))
    return found


def state_machine() -> str:
    """The page of states, moves, outcomes and failure kinds."""
    lines = [
        "# The life of a job",
        "",
        "Drawn from `jobs/states.py` and `jobs/failures.py` by `python docs/draw.py`; a test holds this page to them.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> queued: submit",
        *[f"    {move.source} --> {move.target}: {move.name}" for move in MOVES],
        *[f"    {state} --> [*]" for state in TERMINAL],
        "```",
        "",
        "Each move is one SQL statement, conditional on the state it leaves; moves of a running job carry its token.",
        "",
        "| move | from | to | made by | when |",
        "|---|---|---|---|---|",
        *[f"| `{m.name}` | {m.source} | {m.target} | {m.actor} | {m.meaning} |" for m in MOVES],
        "",
        "## How an attempt ends",
        "",
        "An attempt is one call to a provider. Its row is written before the bytes leave; an open one has no outcome.",
        "",
        "| outcome | meaning |",
        "|---|---|",
        *[f"| `{value}` | {sentence} |" for value, sentence in members(Outcome)],
        "",
        "## Why an attempt or a job failed",
        "",
        "| kind | meaning |",
        "|---|---|",
        *[f"| `{value}` | {sentence} |" for value, sentence in members(FailureKind)],
        "",
    ]
    return "\n".join(lines)


def by_status() -> dict[int, list[str]]:
    """The kinds of failure behind each status of a chat completion."""
    found: dict[int, list[str]] = {}
    told = [(kind.value, status) for kind, status in STATUSES.items()]
    told += [(failed.code, failed.status) for failed in (PURGED, BROKEN)]
    for code, status in sorted(told, key=lambda one: one[1]):
        found.setdefault(status, []).append(code)
    return found


def errors() -> str:
    """The page of error codes."""
    lines = [
        "# Error codes",
        "",
        "Drawn from `api/problems.py` by `python docs/draw.py`; a test holds this page to it. The list is closed.",
        "Errors have OpenAI's shape (`error` with type, code, message, param), so that its SDKs raise their classes.",
        "",
        "| code | status | type | cause | what to do |",
        "|---|---|---|---|---|",
        *[f"| `{code}` | {e.status} | `{e.kind}` | {e.cause} | {e.remedy} |" for code, e in PROBLEMS.items()],
        "",
        "A failed job carries its own code, the failure kinds of [the life of a job](state_machine.md).",
        "",
        "## A chat completion whose job did not succeed",
        "",
        "Drawn from `api/fronts/failures.py`. The code is the kind of failure; `error.job` names the job.",
        "`x-should-retry: false` keeps the official clients from sending it again: it would be a new job.",
        "",
        "| status | codes |",
        "|---|---|",
        *[f"| {status} | {', '.join(f'`{kind}`' for kind in kinds)} |" for status, kinds in by_status().items()],
        "",
    ]
    return "\n".join(lines)


def metrics() -> str:
    """The page of metrics."""
    tellers = {
        "fleet": "The whole fleet, on the API's page, from Postgres and Redis",
        "api": "Each API process",
        "worker": "Each worker process",
        "dispatcher": "Each dispatcher process",
        "webhooks": "Each webhook worker",
    }
    lines = [
        "# Metrics",
        "",
        "Drawn from `jobs/meters.py` by `python docs/draw.py`; a test holds this page to it.",
        "[observability.md](observability.md) says where they are served. Labels are names from your settings or",
        "words of a closed list, never ids or texts. Every process also tells `process_*` (CPU, memory, open files).",
    ]
    for teller, title in tellers.items():
        lines += ["", f"## {title}", "", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{fact.name}` | {fact.kind} | {', '.join(fact.labels) or '-'} | {fact.sentence} |"
            for fact in FACTS.values()
            if teller in fact.told_by
        ]
    return "\n".join([*lines, ""])


PAGES = {
    "dialects.md": draw_dialects.page,
    "errors.md": errors,
    "metrics.md": metrics,
    "replies.md": draw_replies.page,
    "state_machine.md": state_machine,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page(), encoding="utf-8")
