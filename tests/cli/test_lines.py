"""A file's lines: what they are taken for, and what is sent of them."""

import io
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.lines import PIECE_BYTES, Format, Lines, Prompt, opened, recognise
from cli.yard import YardError

OURS = b'{"request": {"model": "auto", "messages": []}}'
OPENAI = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}'


def sent(raw: bytes, prompt: Prompt | None = None, *, is_text: bool = False) -> list[dict[str, Any]]:
    lines = Lines(io.BytesIO(raw), is_text=is_text)
    found = [msgspec.json.decode(line) for line in b"".join(lines.pieces(prompt or Prompt())).splitlines() if line]
    assert len(found) == lines.count
    return found


@pytest.mark.parametrize(
    ("line", "format_"),
    [
        (OURS, Format.JOBS),
        (OPENAI, Format.OPENAI),
        (b'{"messages": []}', Format.JOBS),
        (b'{"request": broken', Format.JOBS),
        (b"Where is my card?", Format.TEXT),
        (b"{braces} are no JSON", Format.TEXT),
        (b'"a string"', Format.TEXT),
        (b"42", Format.TEXT),
        (b"\xff", Format.TEXT),
    ],
)
def test_the_first_line_tells_the_format(line, format_):
    assert recognise(line) is format_


def test_a_line_of_text_is_one_user_message_named_for_its_line():
    one, two = sent(b"\xef\xbb\xbffirst\r\n\r\nsecond", Prompt("maker/m", "Be brief."))
    assert (one["custom_id"], two["custom_id"]) == ("line-1", "line-3")
    assert two["request"] == {
        "model": "maker/m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "second"}],
    }
    assert one["request"]["messages"][1]["content"] == "first"


def test_json_lines_keep_their_numbers_and_bytes():
    lines = Lines(io.BytesIO(b"\n\n" + OURS + b"\n\n" + OPENAI))
    assert b"".join(lines.pieces(Prompt())) == b"\n\n" + OURS + b"\n\n" + OPENAI + b"\n"
    assert lines.count == 2


def test_text_that_looks_like_json_can_be_sent_as_text():
    (line,) = sent(OURS, is_text=True)
    assert line["request"]["messages"][0]["content"] == OURS.decode()


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\ufeff")).filter(str.strip), min_size=1))
def test_no_text_is_lost(texts):
    raw = "\n".join(texts).encode()
    found = [line["request"]["messages"][0]["content"] for line in sent(raw, is_text=True)]
    assert found == [text.strip(" \t\r\n") for text in texts if text.strip(" \t\r\n")]


def test_many_lines_are_sent_in_pieces():
    lines = Lines(io.BytesIO(b"x" * 1000 + b"\n" + (b"y" * 1000 + b"\n") * 999))
    pieces = list(lines.pieces(Prompt()))
    assert lines.count == 1000
    assert 1 < len(pieces) < 10
    assert all(len(piece) < PIECE_BYTES + 2000 for piece in pieces)


@pytest.mark.parametrize("raw", [b"", b"\n \r\n\t"])
def test_a_file_of_nothing_is_refused(raw):
    with pytest.raises(YardError, match="nothing in it"):
        Lines(io.BytesIO(raw))


def test_text_that_is_not_utf_8_is_named_by_line():
    with pytest.raises(YardError, match=r"line 2 is not UTF-8 \(byte 4 of it\)"):
        sent(b"fine\nnot\xff\n")


def test_a_file_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(YardError, match="No such file"), opened(tmp_path / "absent"):
        pass
