"""Sets up every process's log: JSON lines or text, ids on each record, and nothing in it that somebody else wrote.

What may be printed is listed, not what may not: our own sentences (their arguments are ids, counts and names from the
settings), the literal texts of libraries with their numbers, and of an exception its types and places. A library's
arguments and every exception's message are left out: drivers quote rows, HTTP clients quote addresses, Celery quotes
what tasks were called with. Tests drive canaries through every process and search (tests/faults/f27.py).
"""

import contextlib
import contextvars
import linecache
import logging
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal

import msgspec

from jobs.ids import show
from jobs.settings import SettingsError, Telemetry

Level = Literal["debug", "info", "warning", "error"]
OURS = ("jobs", "routing", "workers", "api", "cli", "migrations", "sandbox", "tokenyard", "__main__")
FIELDS = ("job_id", "attempt_id", "lane", "deployment")
"""What a record of a job or an attempt carries beside its text."""
CELERY_WORDS = {"celery.worker.strategy": {"name", "id"}, "celery.app.trace": {"name", "id", "runtime", "return_value"}}
"""Which of Celery's named arguments are printed: the lane, the message's id, and our own line of counts."""
TOO_MANY_LINES = ("sqlalchemy", "celery.worker.strategy", "celery.app.trace")
"""Their "info" is our "debug": a line for each statement, and two for each bell, of whose jobs we tell ourselves."""
PUT_TOGETHER = frozenset({"Task %(name)s[%(id)s] received", "Uvicorn running on %s://%s:%d (Press CTRL+C to quit)"})
"""Literals of libraries that stand elsewhere than where they are logged, or in pieces."""
WITHHELD = "(a text that is not the library's own was left out)"
MOST_FRAMES = 30
log = logging.getLogger(__name__)

Bound = tuple[uuid.UUID | None, uuid.UUID | None, str | None, str | None]
"""Values of FIELDS for whatever this task logs: a job's, then its attempt's."""
_NOTHING: Bound = (None, None, None, None)
_bound: contextvars.ContextVar[Bound] = contextvars.ContextVar("tokenyard_log", default=_NOTHING)


def bind_job(job_id: uuid.UUID, lane: str) -> None:
    """From here on this task's records name the job; a task of asyncio has a context of its own."""
    _bound.set((job_id, None, lane, None))


@contextlib.contextmanager
def attempt(attempt_id: uuid.UUID, deployment: str) -> Iterator[None]:
    """Records of this block name the attempt, too."""
    job_id, before, lane, where = _bound.get()
    _bound.set((job_id, attempt_id, lane, deployment))
    try:
        yield
    finally:
        _bound.set((job_id, before, lane, where))


def setup(telemetry: Telemetry) -> None:
    """Send all records of this process to stderr, in our form; whoever had set up handlers before loses them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if telemetry.log_format == "json" else Text())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(telemetry.log_level.upper())
    for name in list(root.manager.loggerDict):
        known = logging.getLogger(name)
        if not known.propagate and not known.handlers:
            continue  # silenced on purpose: uvicorn's record of every request would cost more than the request
        known.handlers.clear()
        known.propagate = True
        if known.level:  # uvicorn and Celery set their own; ours is the settings'
            known.setLevel(logging.NOTSET)
    logging.getLogger("kombu").setLevel(max(logging.ERROR, root.level))  # it repeats what Celery says
    if root.level > logging.DEBUG:
        for name in TOO_MANY_LINES:
            logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.lastResort = None  # who was silenced stays silent
    logging.raiseExceptions = False  # a record that can't be formatted would be printed with its arguments
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def fields() -> dict[str, str]:
    """What the records of this task carry, in the ids' outside form."""
    job_id, attempt_id, lane, deployment = _bound.get()
    values = (
        show("job", job_id) if job_id is not None else None,
        show("att", attempt_id) if attempt_id is not None else None,
        lane,
        deployment,
    )
    return {name: value for name, value in zip(FIELDS, values, strict=True) if value is not None}


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then FIELDS and `exception` where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message(record),
            "pid": record.process,
            **fields(),
        }
        if (error := _error(record)) is not None:
            line["exception"] = story(error)
        return msgspec.json.encode(line).decode()


class Text(logging.Formatter):
    """The same for eyes: time, level, logger, message, fields in brackets, the exception below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines."""
        known = fields()
        tail = f" [{' '.join(f'{name}={value}' for name, value in known.items())}]" if known else ""
        line = f"{_time(record)} {record.levelname} {record.name} {message(record)}{tail}"
        error = _error(record)
        return line if error is None else "\n".join([line, *(f"  {part}" for part in story(error))])


def _time(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def message(record: logging.LogRecord) -> str:
    """The text of a record as far as it may be printed, on one line."""
    is_ours = record.name.partition(".")[0] in OURS
    text = _our_text(record) if is_ours else _foreign_text(record)
    return " ".join(text.split())


def _our_text(record: logging.LogRecord) -> str:
    if isinstance(record.args, tuple):
        record.args = tuple(type(arg).__name__ if isinstance(arg, BaseException) else arg for arg in record.args)
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


def _foreign_text(record: logging.LogRecord) -> str:
    if not isinstance(record.msg, str):
        return f"{type(record.msg).__name__} {WITHHELD}"
    if not record.args:
        return record.msg if _is_literal(record.msg, record.pathname) else WITHHELD
    if not _is_literal(record.msg, record.pathname):
        return WITHHELD
    try:
        return str(record.msg % _masked(record.args, CELERY_WORDS.get(record.name, set())))
    except (TypeError, ValueError, KeyError):
        return record.msg


def _masked(args: tuple[object, ...] | Mapping[str, object], words: set[str]) -> Any:
    """Numbers as they are, the words that are known to be harmless, and stars for the rest."""
    if isinstance(args, Mapping):
        return {name: value if name in words or _is_number(value) else "*" for name, value in args.items()}
    return tuple(value if _is_number(value) else "*" for value in args)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) or value is None


@lru_cache(maxsize=1024)
def _is_literal(text: str, path: str) -> bool:
    """Whether every line of a text stands in the source of the module that logs it: then nobody else has written it."""
    if text in PUT_TOGETHER:
        return True
    source = "".join(linecache.getlines(path))
    parts = [part.strip() for part in text.splitlines() if part.strip()]
    return bool(parts) and all(len(part) > 3 and part in source for part in parts)


def _error(record: logging.LogRecord) -> BaseException | None:
    if isinstance(record.exc_info, tuple):
        return record.exc_info[1]
    return record.exc_info if isinstance(record.exc_info, BaseException) else None


def story(error: BaseException) -> list[str]:
    """An exception without its words: types from the first cause to the last effect, each with the places it passed."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and seen not in chain:
        chain.append(seen)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    lines: list[str] = []
    for each in reversed(chain):
        lines.append(_name(each))
        lines += [f"at {frame.filename}:{frame.lineno} in {frame.name}" for frame in _frames(each.__traceback__)]
    return lines


def _name(error: BaseException) -> str:
    """Its type; of a database's error also the SQLSTATE, which says most of what the message would.

    A mistake in the settings is told whole: its sentence names keys of the settings, never their values, and whoever
    must mend it reads nothing else.
    """
    if isinstance(error, SettingsError):
        return f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    state = getattr(error, "sqlstate", None)
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{kind} (SQLSTATE {state})" if isinstance(state, str) and state.isalnum() else kind


def _frames(trace: TracebackType | None) -> list[traceback.FrameSummary]:
    return traceback.extract_tb(trace)[-MOST_FRAMES:] if trace is not None else []


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    log.critical("this process ends by an error that nobody caught", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        log.error("a thread ended by an error that nobody caught", exc_info=args.exc_value)
