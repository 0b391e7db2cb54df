"""Pictures and sound in Gemini's answers: `inlineData` (bytes in base64) and `fileData` (an address).

A stream sends sound in pieces of base64 (`audio/L16;codec=pcm;rate=24000`). Texts of base64 can be joined only where
each stands for a multiple of three bytes, so what is left over of a piece waits for the next one.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

from routing.dialects.openai_images import Body, image


class Clip(NamedTuple):
    """A piece of sound."""

    mime: str
    data: str
    """Base64."""


class Media(NamedTuple):
    """What a part shows or plays; neither for other kinds of data."""

    image: Body | None = None
    sound: Clip | None = None


def media_of(inline: Any, file: Any) -> Media:
    """What a part's `inlineData` or `fileData` holds.

    >>> media_of({"mimeType": "image/png", "data": "iVBO"}, None).image
    {'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,iVBO'}}
    """
    given = inline if isinstance(inline, Mapping) else file if isinstance(file, Mapping) else {}
    mime, data, uri = given.get("mimeType"), given.get("data"), given.get("fileUri")
    if not isinstance(mime, str):
        return Media()
    if mime.startswith("image/") and isinstance(data, str):
        return Media(image=image(f"data:{mime};base64,{data}"))
    if mime.startswith("image/") and isinstance(uri, str):
        return Media(image=image(uri))
    if mime.startswith("audio/") and isinstance(data, str):
        return Media(sound=Clip(mime, data))
    return Media()


class Sound:
    """The sound of one candidate, in pieces."""

    def __init__(self) -> None:
        self._mime: str | None = None
        self._held = b""

    def takes(self, clip: Clip) -> bool:
        """Whether a piece continues this sound: it is of the same format, and its data is base64."""
        return self._mime in (None, clip.mime) and _bytes(clip.data) is not None

    def add(self, clip: Clip) -> str:
        """The base64 of what can be told now."""
        self._mime = clip.mime
        whole = self._held + (_bytes(clip.data) or b"")
        sure = len(whole) - len(whole) % 3
        self._held = whole[sure:]
        return base64.b64encode(whole[:sure]).decode()

    def rest(self) -> str:
        """The base64 of what was held back; empty when nothing was."""
        held, self._held = self._held, b""
        return base64.b64encode(held).decode()


def _bytes(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None
