"""Content parts, typed: pictures by URL and by bytes, sound, files, and what is no part at all."""

import base64
from typing import Any

import pytest

from jobs.chat import Adaptation
from routing.dialects.parts import (
    Audio,
    CacheMark,
    CannotCarry,
    Content,
    File,
    Image,
    Text,
    read_content,
    read_mark,
    text_only,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n0000").decode()
WEBP = base64.b64encode(b"RIFF\x24\x00\x00\x00WEBPVP8 ").decode()


def parts(*given: Any) -> tuple[list[Content], list[Adaptation]]:
    notes: list[Adaptation] = []
    return read_content(list(given), "c", notes), notes


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def file(**given: Any) -> dict[str, Any]:
    return {"type": "file", "file": given}


@pytest.mark.parametrize(
    ("part", "read"),
    [
        (image("https://x/y.png", detail="low"), Image("c[0]", url="https://x/y.png", detail="low")),
        ({"type": "image_url", "image_url": "https://x/y.png"}, Image("c[0]", url="https://x/y.png")),
        (image(f"data:image/png;base64,{PNG}"), Image("c[0]", data=PNG, mime="image/png")),
        (image(f"data:image/PNG;name=a;base64,{PNG}"), Image("c[0]", data=PNG, mime="image/png")),
        (image("data:image/tiff;base64,SUkqAA=="), Image("c[0]", data="SUkqAA==", mime="image/tiff")),
        ({"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}, Audio("UklG", "wav", "c[0]")),
        (
            {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,UklG", "format": "wav"}},
            Audio("UklG", "wav", "c[0]"),
        ),
        (
            file(file_data="data:application/pdf;base64,JVBERi0x", filename="a.pdf"),
            File("c[0]", data="JVBERi0x", mime="application/pdf", filename="a.pdf"),
        ),
        (file(file_data="JVBERi0x"), File("c[0]", data="JVBERi0x", mime="application/pdf")),
        (file(file_data="YWJj", filename="a.TXT"), File("c[0]", data="YWJj", mime="text/plain", filename="a.TXT")),
        (file(file_data="YWJj"), File("c[0]", data="YWJj")),
        (file(file_data="https://x/a.pdf"), File("c[0]", url="https://x/a.pdf", mime="application/pdf")),
        (file(file_id="file-1"), File("c[0]", file_id="file-1")),
        ({"type": "text", "text": "a"}, Text("a", "c[0]")),
    ],
)
def test_parts_are_read_as_they_are(part: Any, read: Content) -> None:
    assert parts(part) == ([read], [])


def test_case_29_a_wrong_declared_type_is_put_right_with_a_note() -> None:
    read, notes = parts(image(f"data:image/jpeg;base64,{WEBP}"))
    assert read == [Image("c[0]", data=WEBP, mime="image/webp")]
    assert [(note.field, note.action) for note in notes] == [("c[0].image_url.url", "changed")]
    assert "image/webp" in notes[0].reason


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (image("data:image/png,raw"), "c[0].image_url.url"),
        ({"type": "image_url"}, "c[0]"),
        ({"type": "image_url", "image_url": {}}, "c[0].image_url.url"),
        ({"type": "input_audio", "input_audio": "x"}, "c[0]"),
        ({"type": "input_audio", "input_audio": {"data": "x"}}, "c[0].input_audio.format"),
        ({"type": "file", "file": None}, "c[0]"),
        (file(), "c[0].file.file_id"),
        ({"type": "text"}, "c[0].text"),
        ({"type": ["text"]}, "c[0]"),
        ({}, "c[0]"),
        (None, "c[0]"),
    ],
)
def test_what_is_no_part_is_named(part: Any, field: str) -> None:
    with pytest.raises(CannotCarry) as refused:
        parts(part)
    assert refused.value.unsupported.field == field


def test_unknown_keys_are_noted_wherever_they_stand() -> None:
    _, notes = parts(
        {"type": "text", "text": "a", "colour": "red", "nothing": None},
        image("https://x/y.png", zoom=2) | {"alt": "y"},
        {"type": "input_audio", "input_audio": {"data": "x", "format": "wav", "rate": 1}},
        file(file_id="f", size=1),
    )
    assert sorted(note.field for note in notes) == [
        "c[0].colour",
        "c[1].alt",
        "c[1].image_url.zoom",
        "c[2].input_audio.rate",
        "c[3].file.size",
    ]


@pytest.mark.parametrize(
    ("given", "mark", "noted"),
    [
        ({"cache_control": {"type": "ephemeral"}}, CacheMark("c.cache_control"), 0),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, CacheMark("c.cache_control", "1h"), 0),
        ({"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
         CacheMark("c.prompt_cache_breakpoint", "12h"), 0),
        ({"cache_control": {"type": ["x"]}}, None, 1),
        ({"cache_control": True}, None, 1),
        ({}, None, 0),
    ],
)  # fmt: skip
def test_cache_marks_of_two_vendors(given: dict[str, Any], mark: CacheMark | None, noted: int) -> None:
    notes: list[Adaptation] = []
    assert read_mark(given, "c", notes) == mark
    assert len(notes) == noted


def test_a_marked_blank_text_takes_its_mark_with_it() -> None:
    read, notes = parts({"type": "text", "text": " ", "cache_control": {"type": "ephemeral"}})
    assert read == []
    assert [note.field for note in notes] == ["c[0]", "c[0].cache_control"]


def test_content_that_is_no_content() -> None:
    with pytest.raises(CannotCarry):
        read_content(5, "c", [])
    with pytest.raises(CannotCarry) as refused:
        text_only([Text("a", "c[0]"), Image("c[1]", url="https://x")])
    assert refused.value.unsupported.field == "c[1]"
