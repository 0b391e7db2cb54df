"""The plain Celery app of an afternoon: one task that calls the model and writes a result row and a cost row.

Written as a careful user would, so that the comparison is fair:

- one `httpx2.Client` for the process, keep-alive, as many connections as there may be threads;
- a pool of database connections; both rows in one commit; no Celery result backend, since the rows are the result;
- prompts travel in the message, as `.delay(prompt)` suggests; everything else is Celery's default, early
  acknowledgement included, so a killed worker loses what ran: speed is compared here, not safety.

`psycopg_pool` is not among our packages; SQLAlchemy's pool over bare psycopg connections does the same.
"""

import contextlib
import os
import uuid
from decimal import Decimal

import httpx2
import psycopg
from celery import Celery
from sqlalchemy.pool import QueuePool

from benchmarks.prompts import body

MOST_CALLS = 200
DATABASE_CONNECTIONS = 20
"""A process. 200 threads share them easily: a job needs one for about 2 ms. Postgres allows 100 in all."""
TIMEOUT_S = 60.0
PRICE_INPUT_USD, PRICE_OUTPUT_USD = Decimal("0.36"), Decimal("0.40")
"""Per million tokens, as the yard's deployment in this bench."""
TABLES = """
create table results (job_id uuid primary key, answer bytea not null, finished_at timestamptz not null default now());
create table costs (job_id uuid primary key, model text not null, input_tokens integer not null,
    output_tokens integer not null, cost_usd numeric(20, 12) not null, created_at timestamptz not null default now());
"""

upstream_url = os.environ.get("PEER_UPSTREAM", "")
app = Celery("afternoon", broker=os.environ.get("PEER_BROKER", ""))
# Opened before prefork forks, but neither has a connection until the first call.
http = httpx2.Client(
    limits=httpx2.Limits(max_connections=MOST_CALLS, max_keepalive_connections=MOST_CALLS), timeout=TIMEOUT_S
)
database = QueuePool(
    lambda: psycopg.connect(os.environ["PEER_DATABASE"]),  # type: ignore[arg-type]  # any DB-API driver
    pool_size=DATABASE_CONNECTIONS,
    max_overflow=0,
)


@app.task  # type: ignore[untyped-decorator]  # Celery carries no annotations
def complete(prompt: str) -> None:
    """Ask the model, then record the answer and what it cost."""
    reply = http.post(f"{upstream_url}/chat/completions", json=body(prompt, "bench-1"))
    reply.raise_for_status()
    usage = reply.json()["usage"]
    tokens = usage["prompt_tokens"], usage["completion_tokens"]
    cost_usd = (tokens[0] * PRICE_INPUT_USD + tokens[1] * PRICE_OUTPUT_USD) / 1_000_000
    job_id = uuid.uuid4()
    connection = database.connect()
    try:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute("insert into results (job_id, answer) values (%s, %s)", (job_id, reply.content))
            cursor.execute(
                "insert into costs (job_id, model, input_tokens, output_tokens, cost_usd) values (%s, %s, %s, %s, %s)",
                (job_id, "bench-1", *tokens, cost_usd),
            )
        connection.commit()
    finally:
        connection.close()
