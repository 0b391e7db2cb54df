"""One yard for all tests of the OpenAI door, and clients of it."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from cli.embedded import Postgres
from tests.api.fronts.yard import Yard, opened
from tests.conftest import _fresh_database, _short_folder


@pytest.fixture(scope="package")
def yard(postgres: Postgres, migrated_template: str, redis_url: str) -> Iterator[Yard]:
    databases = _fresh_database(postgres, migrated_template)
    with _short_folder() as folder, opened(Path(folder), next(databases), redis_url) as made:
        yield made
    next(databases, None)


@pytest.fixture
def client(yard: Yard) -> Iterator[openai.OpenAI]:
    """The official client, unmodified; it refuses what does not validate against its own types."""
    with openai.OpenAI(
        base_url=yard.base_url, api_key=yard.key, max_retries=0, timeout=30, _strict_response_validation=True
    ) as opened_client:
        yield opened_client
