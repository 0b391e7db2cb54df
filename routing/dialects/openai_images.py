"""Pictures in answers as `message.images`: OpenRouter's form, in which all wires show them.

    {"type": "image_url", "image_url": {"url": "data:image/png;base64,..."}}

Source: openrouter.ai/docs/features/multimodal/image-generation. OpenAI's chat completions have no field for them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

Body = dict[str, Any]


def image(url: str) -> Body:
    """One picture by its address, mostly a data URI."""
    return {"type": "image_url", "image_url": {"url": url}}


def shown_images(given: Iterable[Any]) -> list[Body]:
    """The pictures of a provider's list, each as an object with an address; what is no picture is left out."""
    return [image(url) for item in given if (url := _url(item))]


def _url(item: Any) -> str:
    """The address in OpenRouter's form, in OpenAI's of a content part, or alone."""
    found = item.get("image_url", item.get("url")) if isinstance(item, Mapping) else item
    found = found.get("url") if isinstance(found, Mapping) else found
    return found if isinstance(found, str) else ""
