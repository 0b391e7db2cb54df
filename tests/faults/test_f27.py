"""F27, short form: no canary is heard outside the tables that may hold it."""

import base64

import pytest

from tests.faults import f27
from tests.faults.canaries import Flock, canary, spellings
from tests.faults.harness import Ground


@pytest.mark.fault
async def test_no_prompt_answer_key_or_password_is_heard_outside(ground: Ground):
    case = await f27.run(ground, print, limit_s=60)
    assert case.faults == []


@pytest.mark.parametrize("around", [b"", b"a", b"ab", b"abc"])
def test_a_canary_is_heard_whatever_its_spelling(around: bytes):
    word = canary("prompt")
    flock = Flock({"prompt": word})
    text = around + word.encode() + around
    for told in (text, text.hex().encode(), base64.b64encode(text), b"sk-..." + word[-10:].encode()):
        assert flock.heard("here", told)
        assert flock.heard("here", told, {"prompt"}) == []
    assert flock.heard("here", b"nothing of the kind") == []
    assert all(len(each) >= 20 for each in spellings(word))
