"""Every dialect by the name that `[providers.*] dialect = "..."` uses."""

from routing.dialects.base import Dialect
from routing.dialects.openai import OpenAIDialect

DIALECTS: dict[str, Dialect] = {
    "openai": OpenAIDialect(),
}
