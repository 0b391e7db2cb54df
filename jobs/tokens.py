"""What a job shows of its answer while it comes: numbered pieces, and a reader's place among them."""

import re
import uuid
from typing import NamedTuple

import msgspec

_PLACE = re.compile(r"(?P<turn>[0-9]{1,9})\.(?P<seq>[0-9]{1,12})")


class Place(NamedTuple):
    """How far a reader has come: so many pieces of that attempt. As text it is the id of an event: `2.17`."""

    turn: int = 0
    """Which attempt of the job, from 1; 0: nothing was read."""
    seq: int = 0
    """Pieces of it that were read."""

    def __str__(self) -> str:
        return f"{self.turn}.{self.seq}"

    @classmethod
    def read(cls, text: str) -> "Place | None":
        """The place that a text names; None when it names none.

        >>> Place.read("2.17")
        Place(turn=2, seq=17)
        """
        found = _PLACE.fullmatch(text)
        return cls(int(found["turn"]), int(found["seq"])) if found else None


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive pieces of one attempt's answer, as they leave the worker together."""

    turn: int
    first: int
    """Number of its first piece, from 1."""
    attempt: uuid.UUID
    deployment: str
    """`maker/name@provider`."""
    chunks: tuple[bytes, ...]
    """JSON of chat.completion.chunk each, without line ends."""
    is_end: bool = False
    """The answer came to its regular end: nothing follows. Counts as a piece, so that it has a number, too."""

    @property
    def last(self) -> Place:
        """The place of a reader who has read it."""
        return Place(self.turn, self.first + len(self.chunks) + self.is_end - 1)

    def after(self, place: Place) -> "Entry | None":
        """What of it such a reader has not read; None when that is nothing."""
        if self.last <= place:
            return None
        if self.turn > place.turn or self.first > place.seq:
            return self
        read = place.seq - self.first + 1
        return msgspec.structs.replace(self, first=place.seq + 1, chunks=self.chunks[read:])

    def follows(self, place: Place) -> bool:
        """Whether nothing is missing between that place and its first piece."""
        return self.first == (place.seq + 1 if self.turn == place.turn else 1)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def pack(entry: Entry) -> bytes:
    """The entry as it travels."""
    return _encoder.encode(entry)


def unpack(raw: bytes) -> Entry | None:
    """The entry, or None for bytes that are none: whoever can write to Redis must not be able to break a reader."""
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError:
        return None
