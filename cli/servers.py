"""What the embedded servers have in common: one process on a folder, a private socket, leftovers of a crash."""

import contextlib
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import psutil

START_LIMIT_S = 60.0
"""Crash recovery of a large journal takes a while; a healthy start takes well under a second."""
STOP_LIMIT_S = 30.0
POLL_S = 0.02
SOCKET_PATH_BYTES = 100
"""sockaddr_un holds 108 bytes on Linux, 104 on macOS, with the closing zero."""


class ServerError(RuntimeError):
    """An embedded server is missing or will not start; the message names its log and the remedy."""


class Server(ABC):
    """One server process on one folder. `start`, then clients connect to `url`, then `stop`."""

    name: str
    _socket_folder: Path
    stop_signal = signal.SIGTERM
    """Asks for an orderly stop that does not wait for clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect; known before the start, too."""

    @property
    def log(self) -> Path:
        """What the server says, appended from run to run."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The server's process while it runs, else None."""
        return self._process.pid if self._process is not None and self.is_running else None

    @property
    def is_running(self) -> bool:
        """True while the process that `start` made is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and return once clients are served; a leftover of a crash is stopped first. Raises ServerError."""
        if self.is_running:
            return
        self._prepare()
        self.stop_leftover()
        self._process = self._spawn()
        deadline = time.monotonic() + START_LIMIT_S
        try:
            while not self._is_ready():
                self._wait_a_little(deadline)
        except BaseException:  # a Ctrl-C in the middle, too, leaves no server behind
            self.stop()
            raise

    def stop(self) -> None:
        """Stop in good order, by force after 30 s; harmless when nothing runs."""
        if self._process is None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the process by kill -9, as a crash would; `start` recovers."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop_leftover(self) -> bool:
        """Stop a server on this folder whose starter died; True if there was one."""
        process = self._leftover()
        if process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(self.stop_signal)
            if still_alive([process], STOP_LIMIT_S):
                process.kill()
                still_alive([process], STOP_LIMIT_S)
        return True

    def erase(self) -> None:
        """Remove everything it keeps. Only when it does not run."""
        for path in (self._socket_folder, self.folder):
            shutil.rmtree(path, ignore_errors=True)

    def _wait_a_little(self, deadline: float) -> None:
        """Wait for the next look at a starting server; start it again after a reason that passes by itself."""
        if not self.is_running:
            if not self._may_retry():
                raise ServerError(f"{self.name} ended while it started; the end of {self.log}:\n{self._last_words()}")
            time.sleep(POLL_S * 10)
            self._process = self._spawn()
        if time.monotonic() > deadline:
            raise ServerError(f"{self.name} was not ready after {START_LIMIT_S:.0f} s; see {self.log}")
        time.sleep(POLL_S)

    @abstractmethod
    def _prepare(self) -> None:
        """Make the folders, and the database where there is none yet."""

    @abstractmethod
    def _spawn(self) -> "subprocess.Popen[bytes]":
        """Start the process, leashed to this one."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """True once a client would be served."""

    @abstractmethod
    def _leftover(self) -> psutil.Process | None:
        """The process of an earlier run on this folder that still lives."""

    def _may_retry(self) -> bool:
        return False

    def _last_words(self) -> str:
        return "\n".join(read(self.log).splitlines()[-15:])


def read(path: Path) -> str:
    """Text of a file that may not be there, or not yet: then empty."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def process_with(pid_text: str, word: str) -> psutil.Process | None:
    """The process of that id if `word` stands in its command line: after a reboot the id is somebody else's."""
    if not pid_text.strip().isdigit():
        return None
    try:
        process = psutil.Process(int(pid_text))
        return process if word in " ".join(process.cmdline()) else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def still_alive(processes: Sequence[psutil.Process], limit_s: float) -> list[psutil.Process]:
    """Those that have not ended after `limit_s`. One that only waits for its parent's notice (a zombie) has ended."""
    deadline = time.monotonic() + limit_s
    alive = list(processes)
    while alive := [process for process in alive if _lives(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_S)
    return alive


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def is_reachable(path: Path) -> bool:
    """True if any user can walk to `path`, as far as it exists."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in [path, *path.parents] if part.exists())


def socket_folder(folder: Path, name: str) -> Path:
    """Where the socket `name` of a server on `folder` goes: beside the data if the path is short enough."""
    beside = folder / "socket"
    return beside if len(os.fsencode(beside / name)) <= SOCKET_PATH_BYTES else private(tempfile.gettempdir(), folder)


def private(parent: str, folder: Path) -> Path:
    """A short path of our own that depends only on `folder`, so that the next run finds it again."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(parent) / f"tokenyard-{os.geteuid()}-{digest}"


def own(path: Path, mode: int = 0o700, user: int | None = None) -> None:
    """Make `path` a folder of ours, or of the server's user. Raises ServerError if it is somebody else's."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    owner = path.lstat().st_uid
    if path.is_symlink() or owner not in {os.geteuid(), user}:
        raise ServerError(f"{path} is a link or belongs to user {owner}: remove it or choose another folder")
    if user is not None and owner != user:
        os.chown(path, user, -1)
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)
