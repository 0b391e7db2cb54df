"""What a log line says and what it never says: our sentences and ids, and nobody else's words."""

import asyncio
import json
import logging
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from jobs import logs
from jobs.ids import show
from jobs.settings import SettingsError

ROOT = Path(__file__).parents[2]
CANARY = "CANARY-5b1f"


def record(name: str, message: object, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord(name, logging.ERROR, logging.__file__, 1, message, args, exc_info)


def test_a_line_is_json_with_the_ids_of_its_job_and_attempt():
    job_id, attempt_id = uuid.uuid4(), uuid.uuid4()

    async def work() -> dict[str, str]:
        logs.bind_job(job_id, "bulk")
        with logs.attempt(attempt_id, "maker/small@lab"):
            return dict(json.loads(logs.JsonLines().format(record("workers.attempt", "%d of %s", 3, "x"))))

    line = asyncio.run(work())
    assert line["message"] == "3 of x"
    assert (line["level"], line["logger"]) == ("error", "workers.attempt")
    assert (line["job_id"], line["attempt_id"]) == (show("job", job_id), show("att", attempt_id))
    assert (line["lane"], line["deployment"]) == ("bulk", "maker/small@lab")


async def test_tasks_side_by_side_keep_their_own_ids():
    async def work(job_id: uuid.UUID) -> dict[str, str]:
        logs.bind_job(job_id, "bulk")
        await asyncio.sleep(0)
        return logs.fields()

    job_ids = [uuid.uuid4() for _ in range(5)]
    found = await asyncio.gather(*(asyncio.create_task(work(job_id)) for job_id in job_ids))
    assert [each["job_id"] for each in found] == [show("job", job_id) for job_id in job_ids]
    assert logs.fields() == {}


@pytest.mark.parametrize("form", [logs.JsonLines(), logs.Text()])
@pytest.mark.parametrize(
    "written",
    [
        record("asyncio", f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{CANARY}')>"),
        record("psycopg", "error: %s", CANARY),
        record("redis", CANARY),
        record("celery.worker.strategy", "Task %(name)s got %(kwargs)s", {"name": "t", "kwargs": CANARY}),
        record("httpx2", CANARY.encode()),
        record("workers.tasks", "it failed: %s", ValueError(CANARY)),
        record("workers.tasks", "it failed", error=ValueError(CANARY)),
        record("celery", "a %d of %s", CANARY),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_the_words_of_others_are_left_out(form: logging.Formatter, written: logging.LogRecord):
    assert CANARY not in form.format(written)


def test_a_library_s_own_literal_is_kept_and_its_numbers_are():
    # The record claims to come from `logging`, whose source has the first and the last.
    assert logs.message(record("somebody", "No handlers could be found for logger")) != logs.WITHHELD
    assert logs.message(record("somebody", "this stands nowhere in that source")) == logs.WITHHELD
    received = record(
        "celery.worker.strategy", "Task %(name)s[%(id)s] received", {"name": "t", "id": "1", "args": CANARY}
    )
    assert logs.message(received) == "Task t[1] received"
    assert logs.message(record("somebody", "Unknown level: %r", CANARY)) == "Unknown level: '*'"
    assert logs.message(record("somebody", "Unknown level: %r", 7)) == "Unknown level: 7"


def test_an_exception_tells_its_types_from_cause_to_effect_and_where():
    def fail() -> None:
        try:
            dict[str, str]()[CANARY]
        except KeyError as error:
            raise ValueError(CANARY) from error

    with pytest.raises(ValueError, match=CANARY) as caught:
        fail()
    story = logs.story(caught.value)
    assert [line for line in story if not line.startswith("at ")] == ["builtins.KeyError", "builtins.ValueError"]
    assert any("in fail" in line for line in story)
    assert CANARY not in "".join(story)


@pytest.mark.parametrize(("level", "is_told"), [("info", False), ("debug", True)])
def test_statements_are_told_at_debug_only(level: str, is_told: bool):
    look = (
        "import logging, sqlalchemy; from jobs import logs; from jobs.settings import Telemetry;"
        f"logs.setup(Telemetry(log_level={level!r}));"
        "print(logging.getLogger('sqlalchemy.engine.Engine').isEnabledFor(logging.INFO))"
    )
    said = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(is_told)


def test_a_mistake_in_the_settings_is_told_whole():
    assert logs.story(SettingsError("worker.slots: must be at least 1")) == [
        "jobs.settings.SettingsError: worker.slots: must be at least 1"
    ]


ENDING = """
import logging, threading, sys
import celery
from jobs import logs
from jobs.settings import Telemetry
logging.basicConfig(format="%(message)s")
logging.getLogger("celery").addHandler(logging.StreamHandler())
logging.getLogger("uvicorn.access").propagate = False
logs.setup(Telemetry(log_format="json", log_level="info"))
logging.getLogger("celery").info("said once by %s", "CANARY-5b1f")
logging.getLogger("uvicorn.access").info("silenced before")
logging.getLogger("workers.somewhere").debug("not asked for")
logging.getLogger("workers.somewhere").info("%d", "CANARY-5b1f")
def fail():
    raise ValueError("CANARY-5b1f")
thread = threading.Thread(target=fail)
thread.start(); thread.join()
fail()
"""


def test_a_process_that_is_set_up_has_one_voice_even_for_its_last_words():
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, check=False, cwd=ROOT)
    lines = [json.loads(line) for line in done.stderr.decode().splitlines()]
    assert done.returncode == 1
    assert CANARY not in done.stderr.decode() + done.stdout.decode()
    assert [line["level"] for line in lines] == ["info", "info", "error", "critical"]
    assert all("builtins.ValueError" in line["exception"] for line in lines[2:])
