"""Pictures and sound of Gemini's answers reach the caller, whole and streamed, and so does what it says beside."""

import base64
import itertools
import json
from typing import Any

import pytest

from jobs.chat import Answer, Usage
from routing.dialects.gemini_media import Clip, Sound, media_of
from tests.routing.dialects.gemini_wire import answered, response, sse
from tests.routing.dialects.judges import added_up, normal
from tests.routing.dialects.mutations import WIRES, chunks_of

PICTURE = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
SOUND = "audio/L16;codec=pcm;rate=24000"
USED = {
    "promptTokenCount": 10,
    "candidatesTokenCount": 1290,
    "totalTokenCount": 1300,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}


def streamed(*events: dict[str, Any]) -> Answer:
    deltas, outcome = chunks_of(WIRES["gemini"], sse(*events))
    assert isinstance(outcome, Answer), outcome
    assert added_up(deltas) == normal(json.loads(outcome.body))
    return outcome


def message(answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(answer.body)["choices"][0]["message"]
    return said


@pytest.mark.parametrize("parts", [[PICTURE], [{"text": "Here it is."}, PICTURE]], ids=["alone", "beside words"])
def test_a_picture_reaches_the_caller_and_is_counted_once(parts: list[dict[str, Any]]):
    told = response(*parts, usageMetadata=USED)
    for answer in (answered(told), streamed(told)):
        shown = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
        assert message(answer)["images"] == shown
        assert not answer.is_empty
        assert answer.has_images
        assert answer.usage == Usage(10, 1290, image_output_tokens=1290)


@pytest.mark.parametrize("cuts", [(1, 5), (3, 6), (2, 4, 7)])
def test_sound_in_pieces_is_one_sound(cuts: tuple[int, ...]):
    raw = bytes(range(10))
    marks = [0, *cuts, len(raw)]
    pieces = [raw[start:end] for start, end in itertools.pairwise(marks)]
    parts = [{"inlineData": {"mimeType": SOUND, "data": base64.b64encode(piece).decode()}} for piece in pieces]
    events = [response(part, finish=None) for part in parts]
    events[-1] = response(parts[-1])
    for answer in (streamed(*events), answered(response(*parts))):
        audio = message(answer)["audio"]
        assert base64.b64decode(audio["data"]) == raw
        assert (audio["mime_type"], audio["transcript"]) == (SOUND, "")
        assert answer.has_sound
        assert not answer.is_empty


def test_sound_of_another_format_and_other_media_are_kept_beside():
    film = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}
    other = {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}
    first = {"inlineData": {"mimeType": SOUND, "data": "AAAA"}}
    told = json.loads(answered(response({"text": "Hi"}, first, other, film)).body)
    assert told["choices"][0]["message"]["audio"]["data"] == "AAAA"
    assert told["provider_fields"]["choices"]["0"]["parts"] == [other, film]


def test_what_the_provider_says_beside_its_answer_is_kept():
    beside = {
        "groundingMetadata": {"webSearchQueries": ["Riga"]},
        "safetyRatings": [{"category": "X", "probability": "LOW"}],
    }
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    told = response(code, {"text": "Hi"}, candidate=beside)
    for answer in (answered(told), streamed(told)):
        kept = json.loads(answer.body)["provider_fields"]["choices"]["0"]
        assert kept == {**beside, "parts": [code]}
        assert answer.text == "Hi"


@pytest.mark.parametrize(
    ("inline", "file"),
    [(None, None), (7, None), ({"mimeType": 7, "data": "x"}, None), ({"mimeType": "image/png"}, None), ({}, {})],
)
def test_what_is_neither_picture_nor_sound_is_neither(inline: Any, file: Any):
    assert media_of(inline, file) == (None, None)


def test_a_picture_may_be_an_address():
    found = media_of(None, {"mimeType": "image/png", "fileUri": "https://x/y.png"}).image
    assert found == {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


def test_what_is_no_base64_is_no_sound():
    assert not Sound().takes(Clip("audio/wav", "***"))
