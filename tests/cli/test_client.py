"""Where the commands find a yard, and what they say when it does not do what they ask."""

import os

import pytest
from typer import Exit

from cli.client import KEY_VARIABLE, URL_VARIABLE, Client, NoAnswer, _split, visit
from cli.yard import Running, State, Yard, YardError


@pytest.fixture
def yard(tmp_path, monkeypatch) -> Yard:
    """A yard that says it runs (we are its supervisor)."""
    for name in (URL_VARIABLE, KEY_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    made = Yard(tmp_path)
    made.make()
    supervisor = Running.of(os.getpid())
    assert supervisor is not None
    made.write(State(supervisor, "ready", api_url="http://127.0.0.1:1"))
    made.keep_key("ty_a_b")
    return made


def test_the_yard_here_is_found_with_its_key(yard):
    with Client.of(yard) as client:
        assert client.url == "http://127.0.0.1:1"


def test_the_key_of_the_yard_here_is_never_sent_elsewhere(yard, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "http://elsewhere.example")
    with pytest.raises(YardError, match=KEY_VARIABLE):
        Client.of(yard)
    monkeypatch.setenv(URL_VARIABLE, "http://127.0.0.1:1/")
    Client.of(yard).__exit__()


def test_an_address_without_a_scheme_is_explained(yard, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, "localhost:8400")
    with pytest.raises(YardError, match="must begin with http"):
        Client.of(yard)


def test_a_yard_that_is_down_is_explained(tmp_path, monkeypatch):
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with pytest.raises(YardError, match="tokenyard up"):
        Client.of(Yard(tmp_path / "var"))


def test_nobody_answering_is_told_from_a_refusal(yard, lab):
    with Client.of(yard) as client, pytest.raises(NoAnswer, match="does not answer"):
        client.get("/v1/jobs")
    with Client(lab.url, "ty_wrong_key") as client, pytest.raises(YardError, match="key") as refused:
        client.get("/v1/jobs")
    assert not isinstance(refused.value, NoAnswer)
    with Client(lab.url, lab.key) as client, pytest.raises(YardError, match="batch_"):
        list(client.lines("/v1/batches/batch_nix/results"))


def test_pages_stop_at_the_number_asked_for(lab):
    _, jobs = lab.submitted(5)
    with Client(lab.url, lab.key) as client:
        assert [job["id"] for job in client.pages("/v1/jobs", most=3)] == jobs[:1:-1]
        assert len(list(client.pages("/v1/jobs"))) == 5
        assert list(client.pages("/v1/jobs", most=0)) == []


def test_lines_end_at_lf_only():
    pieces = iter([b'{"a": "x', "\u2028\x0b".encode(), b'y"}\n\n{"b"', b": 1}"])
    assert list(_split(pieces)) == ['{"a": "x\u2028\x0by"}'.encode(), b'{"b": 1}']


def test_an_error_is_a_sentence_on_stderr(yard, capsys):
    with pytest.raises(Exit) as ended, visit(yard.var) as client:
        client.get("/v1/jobs")
    assert ended.value.exit_code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("tokenyard: http://127.0.0.1:1 does not answer")


def test_a_ctrl_c_is_exit_130(yard, capsys):
    with pytest.raises(Exit) as ended, visit(yard.var):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
