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

_TEMPLATES = {name: _environment.get_template(name) for name in _environment.list_templates()}
"""All of them, read when the process starts: files that change under it must not meet code that does not know them."""


def render(name: str, **values: Any) -> str:
    """The template of this name with these values."""
    return _TEMPLATES[name].render(values)
