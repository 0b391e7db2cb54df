"""A yard's folder, record, key and ports."""

import os
import socket

import pytest

from cli.yard import Running, State, Yard, YardError, next_free_port


def test_the_record_comes_back_as_written(tmp_path):
    yard = Yard(tmp_path)
    yard.make()
    myself = Running.of(os.getpid())
    assert myself is not None
    state = State(myself, "ready", {"api": myself, "worker": None}, "http://127.0.0.1:8400", {"A": "b"})
    yard.write(state)
    assert Yard(tmp_path).state() == state
    assert yard.running() == state


def test_a_record_that_cannot_be_read_counts_as_none(tmp_path):
    (tmp_path / "yard.json").write_text('{"supervisor": 3')
    assert Yard(tmp_path).state() is None


def test_a_process_is_known_by_its_birth_not_only_its_id():
    myself = Running.of(os.getpid())
    assert myself is not None
    assert myself.process() is not None
    assert Running(myself.pid, myself.create_time - 100).process() is None


def test_the_key_is_its_owners_alone(tmp_path):
    yard = Yard(tmp_path)
    assert yard.key() is None
    yard.keep_key("ty_1_first")
    yard.keep_key("ty_1_secret")
    assert yard.key() == "ty_1_secret"
    assert yard.key_path.stat().st_mode & 0o777 == 0o600


def test_a_yard_is_held_once(tmp_path):
    yard = Yard(tmp_path)
    with yard.lock(), pytest.raises(YardError, match="another supervisor"), Yard(tmp_path).lock():
        pass
    with yard.lock():
        pass


def test_a_hold_lasts_until_its_release(tmp_path):
    yard = Yard(tmp_path)
    yard.release()
    yard.hold("sandbox-east")
    yard.hold("sandbox-west")
    assert yard.holds("sandbox-east")
    assert not yard.holds("api")
    yard.release("sandbox-east")
    assert [yard.holds(name) for name in ("sandbox-east", "sandbox-west")] == [False, True]
    yard.release()
    assert not yard.holds("sandbox-west")


def test_a_taken_port_is_passed_over():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        found = next_free_port("127.0.0.1", taken)
        assert found > taken
        assert next_free_port("127.0.0.1", taken, frozenset({found})) > found


def test_the_folder_is_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENYARD_VAR", str(tmp_path))
    assert Yard().var == tmp_path
    monkeypatch.delenv("TOKENYARD_VAR")
    monkeypatch.chdir(tmp_path)
    assert Yard().var == tmp_path / "var"
