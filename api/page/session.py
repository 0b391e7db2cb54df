"""Sessions of the page: a cookie signed with its API key's stored hash, so every API process accepts it.

Nothing is kept on a server. The key's text is not in the cookie; revoking the key ends its sessions, like its
requests, within 5 s. Who can read the hashes in Postgres could sign a session: they can read all it would show.
"""

import hashlib
import hmac
import re
import secrets

import msgspec

from jobs.store.accounts import Key

LIFE_S = 12 * 3600
"""A session ends so long after its login, whatever happens in it."""
_SHAPE = re.compile(r"(?P<short>[0-9a-f]{16})\.(?P<until>[0-9]{1,12})\.(?P<nonce>[0-9a-f]{32})\.(?P<mac>[0-9a-f]{64})")


class Session(msgspec.Struct, frozen=True):
    """What a cookie says. It counts only if `is_genuine`."""

    short_id: str
    """Which key it belongs to."""
    until_s: int
    """Unix time of its end."""
    nonce: str
    mac: str

    @property
    def cookie(self) -> str:
        """The cookie's value."""
        return f"{self.short_id}.{self.until_s}.{self.nonce}.{self.mac}"

    def is_genuine(self, key: Key, now_s: float) -> bool:
        """Whether this key signed it and it has not ended."""
        said = _mac(key, f"session {self.short_id} {self.until_s} {self.nonce}")
        return hmac.compare_digest(self.mac, said) and now_s < self.until_s

    def form_token(self, key: Key) -> str:
        """What a form of this session must send back: nobody else's page can know it."""
        return _mac(key, f"form {self.nonce}")


def begin(key: Key, short_id: str, now_s: float) -> Session:
    """A fresh session of a key that has just been shown."""
    until_s, nonce = int(now_s) + LIFE_S, secrets.token_hex(16)
    return Session(short_id, until_s, nonce, _mac(key, f"session {short_id} {until_s} {nonce}"))


def read(cookie: str) -> Session | None:
    """What a cookie says; None when it does not look like one of ours."""
    found = _SHAPE.fullmatch(cookie)
    return Session(found["short"], int(found["until"]), found["nonce"], found["mac"]) if found else None


def _mac(key: Key, text: str) -> str:
    return hmac.new(key.secret_sha256, f"tokenyard page, {text}".encode(), hashlib.sha256).hexdigest()
