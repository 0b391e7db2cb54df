"""Sessions: who signed them, for whom, and until when."""

import uuid

from api.page import session
from jobs.store.accounts import Key, hash_secret

NOW_S = 1_800_000_000.0
SHORT = "0123456789abcdef"


def key(secret: str = "s") -> Key:
    return Key(uuid.UUID(int=1), uuid.UUID(int=2), hash_secret(secret), frozenset({"admin"}), 1)


def test_a_session_is_read_back_from_its_cookie_and_is_its_keys_own():
    begun = session.begin(key(), SHORT, NOW_S)
    assert session.read(begun.cookie) == begun
    assert begun.is_genuine(key(), NOW_S)
    assert not begun.is_genuine(key("another"), NOW_S)


def test_a_session_ends_after_its_life_and_nobody_makes_it_longer():
    begun = session.begin(key(), SHORT, NOW_S)
    assert begun.is_genuine(key(), NOW_S + session.LIFE_S - 1)
    assert not begun.is_genuine(key(), NOW_S + session.LIFE_S)
    for part, value in ((1, str(begun.until_s + 1)), (2, "0" * 32), (0, "f" * 16), (3, "0" * 64)):
        parts = begun.cookie.split(".")
        parts[part] = value
        forged = session.read(".".join(parts))
        assert forged is not None
        assert not forged.is_genuine(key(), NOW_S), part


def test_two_sessions_of_one_key_differ_and_so_do_their_forms():
    first, second = (session.begin(key(), SHORT, NOW_S) for _ in range(2))
    assert first.cookie != second.cookie
    assert first.form_token(key()) != second.form_token(key())
    assert first.form_token(key()) not in first.cookie


def test_what_is_no_cookie_of_ours_is_none():
    for text in ("", ".", "a.b.c.d", SHORT, f"{SHORT}.1.{'0' * 32}.{'0' * 64}x", f"{SHORT}.²." + "0" * 32, "\0"):
        assert session.read(text) is None
