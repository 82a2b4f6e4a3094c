# Copyright (c) 2026, Boardroom Maintenance contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change in any release.
"""The only place that starts a program: argument lists, a time limit, errors without secrets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import typing as t

from ._errors import MaintenanceError

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*):[^@\s/]+@", re.IGNORECASE)
_NAMED_PASSWORD = re.compile(r"(?i)\b(password|passwd|secret|token)(\s*[=:]\s*)('[^']*'|\"[^\"]*\"|\S+)")
TAIL = 2000
HIDDEN = "********"


class Completed(t.NamedTuple):
    """A program that has ended: its arguments (redacted), exit status, output and seconds it took."""

    argv: t.List[str]
    rc: int
    stdout: str
    stderr: str
    seconds: float


class ProgramError(MaintenanceError):
    """A program failed, was not there, or ran out of its time; C(rc) is None when it never ended by itself."""

    def __init__(self, message: str, rc: t.Optional[int] = None, stderr: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy, rc=rc, stderr_tail=stderr[-TAIL:])
        self.rc = rc
        self.stderr = stderr


def _die_with_parent() -> None:
    # A module that is killed must not leave a dump behind that still writes into a directory swept by the next run.
    # Only Linux can do it; a controller may be another system.
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started (it leads a process group of its own)."""
    for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience)
            return


class Runner:
    """Starts programs.

    :param secrets: texts that must appear in no error and no result
    :param path: directories to look for programs in, before C(PATH)
    """

    def __init__(self, secrets: t.Iterable[str] = (), path: t.Sequence[str] = ()) -> None:
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)
        self._path = os.pathsep.join([*path, os.environ.get("PATH") or os.defpath, "/usr/sbin", "/sbin"])

    def redact(self, text: str) -> str:
        """The text without the known secrets and without anything that looks like a password in a URL or setting."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return _NAMED_PASSWORD.sub(rf"\1\2{HIDDEN}", _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text))

    def find(self, program: str) -> t.Optional[str]:
        """Full path of a program, or None."""
        return shutil.which(program, path=self._path)

    def with_path(self, *directories: str) -> Runner:
        """A runner that hides the same secrets and looks for programs in these directories first."""
        return Runner(self._secrets, [*directories, self._path])

    def start(
        self,
        argv: t.Sequence[str],
        *,
        user: t.Optional[str] = None,
        env: t.Optional[t.Mapping[str, str]] = None,
        cwd: t.Optional[str] = None,
        stdin: t.Any = subprocess.DEVNULL,
        stdout: t.Any = subprocess.PIPE,
        stderr: t.Any = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """Start a program in a process group of its own; it dies with the thread that started it.

        :param user: operating system user to run as; only root can ask for another than itself
        :param env: variables beside a minimal environment (PATH, HOME, LC_ALL=C.UTF-8)
        :raises ProgramError: it is not installed, or the user does not exist.
        """
        full = self.find(argv[0])
        if not full:
            raise ProgramError(
                f"The program {argv[0]} is not installed.", remedy="Run playbooks/prepare.yml on this host."
            )
        environment = {"PATH": self._path, "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")}
        identity: t.Dict[str, t.Any] = {}
        if user:
            try:
                entry = pwd.getpwnam(user)
            except KeyError:
                raise ProgramError(f"There is no operating system user {user!r} to run {argv[0]} as.") from None
            environment["HOME"] = entry.pw_dir
            if entry.pw_uid != os.geteuid():
                if os.geteuid() != 0:
                    raise ProgramError(f"Running {argv[0]} as user {user!r} needs root: use become.")
                identity = {
                    "user": entry.pw_uid,
                    "group": entry.pw_gid,
                    "extra_groups": os.getgrouplist(user, entry.pw_gid),
                }
        environment.update(env or {})
        try:
            return subprocess.Popen(
                [full, *argv[1:]],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                # A working directory that another user cannot enter makes some programs complain on stderr.
                cwd=cwd or "/",
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **identity,
            )
        except OSError as exc:
            raise ProgramError(f"Could not start {argv[0]}: {exc.strerror}.") from exc

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a started program and its children: terminate, then kill; nothing happens when it has ended."""
        if process.poll() is None:
            _stop(process)

    def run(
        self,
        argv: t.Sequence[str],
        *,
        timeout: float,
        user: t.Optional[str] = None,
        env: t.Optional[t.Mapping[str, str]] = None,
        cwd: t.Optional[str] = None,
        stdin: t.Union[bytes, t.BinaryIO, None] = None,
        stdout: t.Any = subprocess.PIPE,
        check: bool = True,
    ) -> Completed:
        """Run a program to its end.

        :param timeout: seconds after which it is ended, with its children
        :param stdin: bytes to feed, or an open file
        :param stdout: an open file to write to; its text is then not in the result
        :param check: an exit status other than 0 is an error
        :raises ProgramError: not installed, out of time, or (with check) failed.
        """
        began = time.monotonic()
        feed = stdin if isinstance(stdin, bytes) else None
        source: t.Any = subprocess.PIPE if feed is not None else (stdin or subprocess.DEVNULL)
        process = self.start(argv, user=user, env=env, cwd=cwd, stdin=source, stdout=stdout)
        shown = [self.redact(a) for a in argv]
        try:
            out, err = process.communicate(feed, timeout=timeout)
        except subprocess.TimeoutExpired:
            self.stop(process)
            out, err = process.communicate()
            raise ProgramError(
                f"{argv[0]} did not end within {timeout:g} s and was stopped.", None, self.redact(_text(err))
            ) from None
        except BaseException:
            self.stop(process)
            raise
        done = Completed(shown, process.returncode, _text(out), self.redact(_text(err)), time.monotonic() - began)
        if check and done.rc != 0:
            raise failed(done)
        return done


@contextlib.contextmanager
def time_limit(seconds: float, what: str, *stops: t.Callable[[MaintenanceError], t.Any]) -> t.Iterator[None]:
    """After that time, stop what hangs: a pipe to or from it would be waited for without end.

    :param what: takes too long, for the message
    :param stops: each is given, on another thread, the error that whoever waits is to see
    """
    error = late(what)

    def end() -> None:
        for stop in stops:
            stop(error)

    timer = threading.Timer(max(0.0, seconds), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def late(what: str) -> MaintenanceError:
    """The error of what takes too long."""
    return MaintenanceError(
        f"{what} did not end within its time limit and was stopped.",
        "Raise timeout (in the inventory postgres_backup_timeout).",
    )


def pipe_of(stream: t.Optional[t.IO[bytes]]) -> t.BinaryIO:
    """The pipe that a program was started with.

    :raises ValueError: it was started without one.
    """
    if stream is None:
        raise ValueError("the program was started without this pipe")
    return t.cast(t.BinaryIO, stream)


def failed(done: Completed) -> ProgramError:
    """The error for a program that ended badly: its last line of complaint in one sentence."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    how = f"was killed by signal {-done.rc}" if done.rc < 0 else f"failed with exit status {done.rc}"
    said = f": {lines[-1]}" if lines else f" without a message ({shlex.join(done.argv)[:200]})"
    return ProgramError(f"{os.path.basename(done.argv[0])} {how}{said}", done.rc, done.stderr)


def _text(data: t.Optional[bytes]) -> str:
    return (data or b"").decode("utf-8", "replace")
