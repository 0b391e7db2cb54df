"""A yard's place on this machine: its folder, the record of what runs (`yard.json`), its ports and its lock."""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec
import psutil

VAR_VARIABLE = "TOKENYARD_VAR"
CHECKOUT = Path(__file__).resolve().parent.parent
"""Tokenyard is an application: it runs from its checkout or image."""
CREATED_WITHIN_S = 1.0
"""Two readings of a process's creation differ by rounding; a process id is not given again so soon."""

Phase = Literal["starting", "ready", "stopping"]


class YardError(RuntimeError):
    """The yard can't do what was asked; the message says why and what to do."""


class Running(msgspec.Struct, frozen=True):
    """A process by id and creation time, since ids are used again."""

    pid: int
    create_time: float
    """Seconds since the epoch."""
    restarts: int = 0

    @classmethod
    def of(cls, pid: int, restarts: int = 0) -> "Running | None":
        """The process of that id as it is now, or None if it has gone already."""
        try:
            return cls(pid, psutil.Process(pid).create_time(), restarts)
        except psutil.NoSuchProcess:
            return None

    def process(self) -> psutil.Process | None:
        """The live process, or None if it ended (also when another has its id now, or it is a zombie)."""
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.create_time) < CREATED_WITHIN_S
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class State(msgspec.Struct, frozen=True):
    """What `yard.json` holds. Entries of processes stand in the order in which they are stopped."""

    supervisor: Running
    phase: Phase = "starting"
    processes: dict[str, Running | None] = {}
    """None: down, waiting for its restart."""
    api_url: str = ""
    environment: dict[str, str] = {}
    """What the processes got: the addresses of Postgres and Redis, the configuration's files."""
    flower_url: str = ""


class Yard:
    """The folder of a yard (`--var`, else TOKENYARD_VAR, else ./var) and what lies in it."""

    def __init__(self, var: Path | None = None) -> None:
        self.var = (var or Path(os.environ.get(VAR_VARIABLE) or "var")).absolute()
        self.log = self.var / "log"
        self.key_path = self.var / "key"
        self.catalog_path = self.var / "catalog.json"
        self.flower_password_path = self.var / "flower-password"
        self.sandbox = self.var / "sandbox"
        self.sandbox_config = self.var / "sandbox.toml"
        self._state_path = self.var / "yard.json"
        self._held = self.var / "held"

    def make(self) -> None:
        """Make the folders; private, but for root, whose Postgres runs as another user and must walk through."""
        self.var.mkdir(parents=True, exist_ok=True)
        mode = 0o711 if os.geteuid() == 0 else 0o700
        if stat.S_IMODE(self.var.stat().st_mode) != mode:
            self.var.chmod(mode)
        for folder in (self.log, self.sandbox):
            folder.mkdir(mode=0o700, exist_ok=True)

    def state(self) -> State | None:
        """The last record, also of a yard that died; None if there is none or it can't be read."""
        try:
            return msgspec.json.decode(self._state_path.read_bytes(), type=State)
        except (OSError, msgspec.DecodeError):
            return None

    def running(self) -> State | None:
        """The record if its supervisor lives, else None."""
        state = self.state()
        return state if state is not None and state.supervisor.process() is not None else None

    def surroundings(self, environ: Mapping[str, str]) -> dict[str, str]:
        """`environ`, and what it leaves open from the yard that runs here: addresses and configuration."""
        state = self.running()
        known = state.environment if state is not None else {}
        return {**environ, **{name: value for name, value in known.items() if value and not environ.get(name)}}

    def write(self, state: State) -> None:
        """Replace the record in one step: a reader never sees half of it."""
        fresh = self._state_path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")
        fresh.replace(self._state_path)

    def forget(self) -> None:
        """Remove the record once nothing runs any more."""
        self._state_path.unlink(missing_ok=True)

    def hold(self, name: str) -> None:
        """Let a process stay down once it has died, until `release` or the next start of the yard."""
        self._held.mkdir(exist_ok=True)
        (self._held / name).touch()

    def release(self, name: str | None = None) -> None:
        """Restart it again when it dies; None: all of them."""
        for path in self._held.glob(name or "*"):
            path.unlink(missing_ok=True)

    def holds(self, name: str) -> bool:
        """True if that process is to stay down."""
        return (self._held / name).exists()

    def erase(self) -> None:
        """Remove what `make` and the yard's processes wrote, and nothing else that lies in the folder."""
        for folder in (self.log, self.sandbox, self._held):
            shutil.rmtree(folder, ignore_errors=True)
        for path in (self.key_path, self.flower_password_path, self.sandbox_config, self.var / "yard.lock"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: something of the user's lies there
            self.var.rmdir()

    def key(self) -> str | None:
        """The yard's admin key, or None before the first start."""
        return _kept(self.key_path)

    def keep_key(self, key: str) -> None:
        """Write the key, readable by its owner only from the first byte on."""
        _keep(self.key_path, key)

    def flower_password(self) -> str | None:
        """The password of the yard's Flower, or None before the first start."""
        return _kept(self.flower_password_path)

    def ensure_flower_password(self) -> str:
        """The password of earlier runs, or a fresh one, kept as the key is."""
        password = self.flower_password()
        if password is None:
            password = secrets.token_urlsafe(24)
            _keep(self.flower_password_path, password)
        return password

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the yard; the kernel lets go when the holder dies. Raises YardError if another holds it."""
        with (self.var / "yard.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise YardError(f"another supervisor holds {self.var}; see `tokenyard status`") from None
            yield


def _kept(path: Path) -> str | None:
    """A secret kept in a file; None if there is none."""
    try:
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def _keep(path: Path, secret: str) -> None:
    """Write a secret, readable by its owner only from the first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret + "\n")


def next_free_port(host: str, first: int, taken: frozenset[int] = frozenset()) -> int:
    """The first port from `first` on that nobody listens on and that is not `taken`. Raises YardError."""
    for port in range(first, first + 200):
        if port in taken:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((host, port))
                return port
    raise YardError(f"no free port from {first} to {first + 199} on {host}")
