"""The sandbox as a process: starts, says where it serves, stops, and dies without losing its log."""

import signal
import threading

import httpx2
import msgspec
import pytest

from sandbox.__main__ import main

from .conftest import BOUND_S, LARGE, OTHER, SMALL

CHAT = "/v1/chat/completions"


def test_the_ready_file_says_where_and_what(start, tmp_path):
    path = tmp_path / "ready.json"
    with start("--name", "sandbox-west", "--models", SMALL, "--ready-file", str(path)) as running:
        ready = msgspec.json.decode(path.read_bytes())
        assert ready["url"] == running.url
        assert (ready["name"], ready["models"], ready["pid"]) == ("sandbox-west", [SMALL], running.process.pid)
        with httpx2.Client(base_url=ready["url"]) as client:
            assert client.get("/v1/models").json()["data"][0]["owned_by"] == "sandbox-west"


def test_a_kill_leaves_the_begin_line_of_the_call_it_cut(start, question):
    with start("--models", SMALL, "--latency-ms", "60000") as running:
        sent = threading.Thread(target=post_and_lose, args=(running.url, question()))
        sent.start()
        bound = threading.Event()
        for _ in range(int(BOUND_S / 0.01)):
            if running.calls.read_bytes().endswith(b"\n"):
                break
            bound.wait(0.01)
        running.process.kill()
        sent.join(BOUND_S)
        assert not sent.is_alive()
        assert [line["event"] for line in running.lines()] == ["begin"]


def post_and_lose(url, body):
    with httpx2.Client(base_url=url, timeout=BOUND_S) as client, pytest.raises(httpx2.TransportError):
        client.post(CHAT, json=body)


def test_sigterm_ends_it_even_with_a_silent_call_open(start, question):
    with start("--models", SMALL) as running, httpx2.Client(base_url=running.url) as client:
        client.post("/_sandbox/faults", json={"faults": [{"kind": "silence"}]})
        with pytest.raises(httpx2.ReadTimeout):
            client.post(CHAT, json=question(), timeout=0.2)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(BOUND_S) in {0, -signal.SIGTERM}


def test_train_prints_a_line_a_model(small, large, data, cache, capsys):
    assert main(["train", "--data", str(data), "--cache", str(cache)]) == 0
    lines = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["model"] for line in lines] == [SMALL, LARGE, OTHER]


def test_evaluate_prints_the_report(small, large, data, cache, capsys):
    assert main(["evaluate", "--data", str(data), "--cache", str(cache)]) == 0
    assert "cascade" in msgspec.json.decode(capsys.readouterr().out)


@pytest.mark.parametrize(("flags", "words"), [(["--models", "gpt"], "no model 'gpt'"), ([], "test.csv does not exist")])
def test_what_cannot_start_says_why(tmp_path, capsys, flags, words):
    assert main(["--data", str(tmp_path), "--cache", str(tmp_path), *flags]) == 2
    assert words in capsys.readouterr().err
