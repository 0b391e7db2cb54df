"""Draws the page's templates: everything is escaped, nothing undefined passes for nothing."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_environment = Environment(
    loader=PackageLoader("api.page", "html"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def render(name: str, **values: Any) -> str:
    """The template of this name with these values."""
    return _environment.get_template(name).render(values)
