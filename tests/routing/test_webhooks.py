"""When a delivery is tried again, what a reply means, and that signatures are what receivers expect."""

import base64
import datetime as dt

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from routing.webhooks import (
    DISABLE_AFTER_S,
    SCHEDULE_S,
    Fate,
    Reply,
    fate,
    pause_s,
    signature,
    wait_s,
    why_disabled,
)

OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
HOUR_S = 3600


def test_the_schedule_is_the_promised_one():
    waits = [wait_s(tried, Reply(500), 0.0) for tried in range(1, 12)]
    hours = [2, 5, 10, 14, 20, 24]
    assert waits == [5, 300, 1800, *(hour * HOUR_S for hour in hours), None, None]
    assert SCHEDULE_S[0] == 0


def test_jitter_only_adds_and_at_most_a_tenth():
    for tried in range(1, 10):
        low, high = wait_s(tried, Reply(500), 0.0), wait_s(tried, Reply(500), 1.0)
        assert low is not None
        assert high is not None
        assert low < high <= low * 1.1 + 1e-9


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, Fate.DELIVERED), (204, Fate.DELIVERED), (299, Fate.DELIVERED), (199, Fate.AGAIN), (301, Fate.AGAIN),
     (307, Fate.AGAIN), (400, Fate.AGAIN), (404, Fate.AGAIN), (410, Fate.GONE), (429, Fate.AGAIN), (500, Fate.AGAIN)],
)  # fmt: skip
def test_only_2xx_is_delivered(status: int, expected: Fate):
    assert fate(Reply(status)) is expected
    assert fate(Reply(error="timeout")) is Fate.AGAIN


def test_retry_after_is_honoured_up_to_a_day_for_429_and_503_alone():
    told = {"retry-after": "120"}
    assert wait_s(1, Reply(429, told), 0.0) == 120
    assert wait_s(1, Reply(503, told), 0.0) == 120
    assert wait_s(1, Reply(500, told), 0.0) == 5
    assert wait_s(3, Reply(429, told), 0.0) == 1800
    assert wait_s(1, Reply(429, {"retry-after": "900000"}), 0.0) == 86_400
    assert wait_s(1, Reply(429, {"retry-after": "soon"}), 0.0) == 5
    assert pause_s(1, Reply(429, told), 0.0) == 120


def test_an_endpoint_that_keeps_failing_is_left_alone_for_longer_and_longer():
    pauses = [pause_s(failures, Reply(500), 0.0) for failures in range(1, 14)]
    assert pauses == [0, 0, 5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]
    assert pause_s(10_000, Reply(500), 1.0) <= 330


def test_it_is_disabled_at_a_410_and_after_five_days():
    assert "410" in (why_disabled(Reply(410), 0.0) or "")
    assert why_disabled(Reply(500), DISABLE_AFTER_S - 1) is None
    assert "5 days" in (why_disabled(Reply(500), DISABLE_AFTER_S) or "")


def test_both_secrets_of_a_rotation_verify_and_no_other():
    body, now = b'{"type":"job.succeeded"}', int(dt.datetime.now(dt.UTC).timestamp())
    sent = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": signature([NEW, OLD], "evt_1", now, body),
    }
    assert Webhook(NEW).verify(body, sent) == Webhook(OLD).verify(body, sent) == {"type": "job.succeeded"}
    other = f"whsec_{base64.b64encode(b'3' * 32).decode()}"
    for secret, changed in ((other, body), (NEW, body + b" ")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(changed, sent)
