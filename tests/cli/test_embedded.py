"""Embedded servers: what was committed survives kill -9, leftovers are found, nothing stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from cli import embedded
from cli.embedded import Postgres, Redis
from cli.servers import Server, ServerError, own, private, process_with, socket_folder, still_alive
from cli.yard import CHECKOUT

START_AND_FREEZE = """
import signal, sys
from pathlib import Path
from cli.embedded import Postgres, Redis
server = {"postgres": Postgres, "redis": Redis}[sys.argv[1]](Path(sys.argv[2]))
server.start()
print(server.pid, flush=True)
signal.pause()
"""


def rows(server: Postgres) -> list[tuple[int]]:
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT n FROM kept ORDER BY n").fetchall()


def keep(server: Postgres, number: int) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [number])


def test_a_commit_survives_kill_9_and_a_restart(yard_folder):
    server = Postgres(yard_folder)
    server.start()
    try:
        keep(server, 1)
        server.kill()
        assert not server.is_running
        assert server.pid is None
        server.start()
        assert rows(server) == [(1,)]
        server.stop()
        server.start()
        assert rows(server) == [(1,)]
    finally:
        server.stop()


def test_stop_leaves_no_process(yard_folder):
    servers = [Postgres(yard_folder / "postgres", fsync=False), Redis(yard_folder / "redis", from_wheel=True)]
    family: list[psutil.Process] = []
    for server in servers:
        server.start()
        assert server.pid is not None
        process = psutil.Process(server.pid)
        family += [process, *process.children(recursive=True)]
    assert len(family) > len(servers)
    for server in servers:
        server.stop()
    assert still_alive(family, limit_s=10) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the leash is Linux's PR_SET_PDEATHSIG")
@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_server_ends_with_a_starter_that_was_killed(yard_folder, name):
    starter = start_in_another_process(name, yard_folder)
    assert starter.stdout is not None
    server = psutil.Process(int(starter.stdout.readline()))
    with starter:
        starter.kill()
    assert still_alive([server], limit_s=20) == []


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_leftover_is_stopped_by_the_next_start(yard_folder, name):
    """The other starter lives on, so that its server is a leftover only to us."""
    starter = start_in_another_process(name, yard_folder)
    assert starter.stdout is not None
    left = psutil.Process(int(starter.stdout.readline()))
    server: Server = Postgres(yard_folder) if name == "postgres" else Redis(yard_folder)
    try:
        server.start()
        assert still_alive([left], limit_s=0) == []
        assert server.is_running
        assert server.pid != left.pid
    finally:
        server.stop()
        with starter:
            starter.send_signal(signal.SIGKILL)


def test_redis_keeps_its_data_over_an_orderly_restart_and_never_evicts(yard_folder):
    server = Redis(yard_folder, from_wheel=True)
    server.start()
    try:
        with redis.Redis.from_url(server.url) as client:
            client.set("limit", 7)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        server.stop()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("limit") == b"7"
    finally:
        server.stop()


def test_nobody_else_can_reach_the_sockets(yard_folder):
    servers = [Postgres(yard_folder / "postgres", fsync=False), Redis(yard_folder / "redis", from_wheel=True)]
    for server in servers:
        server.start()
        try:
            assert server.pid is not None
            assert psutil.Process(server.pid).net_connections("inet") == []
            assert (server.folder / "socket").stat().st_mode & 0o077 == 0
        finally:
            server.stop()


def test_an_interrupted_first_start_is_begun_again(yard_folder):
    half = yard_folder / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = Postgres(yard_folder, fsync=False)
    server.start()
    try:
        keep(server, 1)
        assert not half.exists()
    finally:
        server.stop()


def test_a_start_that_fails_says_why_and_leaves_nothing(yard_folder):
    server = Postgres(yard_folder, fsync=False)
    server.start()
    server.stop()
    (yard_folder / "data" / "global" / "pg_control").unlink()
    with pytest.raises(ServerError, match="pg_control"):
        server.start()
    assert not server.is_running


def test_a_variable_of_libpq_does_not_move_the_server(yard_folder, monkeypatch):
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("PGPORT", "1")
    server = Postgres(yard_folder, fsync=False)
    server.start()
    server.stop()
    assert (yard_folder / "socket").exists()
    assert "PGPORT" not in embedded._environment()


def test_a_long_path_gets_a_short_private_socket_folder_that_is_found_again(tmp_path):
    deep = tmp_path / ("d" * 120)
    short = socket_folder(deep, "redis.sock")
    assert len(os.fsencode(short / "redis.sock")) <= 100
    assert short == socket_folder(deep, "redis.sock")
    assert short != socket_folder(deep / "other", "redis.sock")


def test_a_link_in_place_of_our_folder_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ServerError, match="remove it"):
        own(tmp_path / "link")


def test_a_process_id_that_now_belongs_to_another_program_is_not_ours():
    assert process_with(str(os.getpid()), "/no/such/data") is None
    assert process_with("not a number", "python") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to move")
def test_root_moves_where_the_servers_user_can_walk(tmp_path, yard_folder):
    tmp_path.chmod(0o700)
    assert Postgres(tmp_path / "var").folder == private("/var/tmp", tmp_path / "var")
    assert Postgres(yard_folder / "var").folder == yard_folder / "var"


def test_the_wheel_is_named_when_it_is_missing():
    with pytest.raises(ServerError, match="pip install"):
        embedded.wheel_folder("no_such_module", "no-such-package")


def start_in_another_process(name: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", START_AND_FREEZE, name, str(folder)], cwd=CHECKOUT, stdout=subprocess.PIPE
    )
