"""The processes that images are decoded in: started, given work, killed, replaced."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress

from bogv.errors import BogvError, DamagedImage, Overloaded, TooCostly, Unavailable
from bogv.imaging.bounds import allowed_seconds
from bogv.imaging.frames import Header, receive, send

log = logging.getLogger(__name__)

MOST = 16
"""Processes, whatever the number of cores: one decodes faster than most networks embed."""
WAIT_SECONDS = 30.0
"""That an image waits for a process, while others keep them all busy."""
START_SECONDS = 60.0
END_SECONDS = 5.0
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
_START += "from bogv.imaging.worker import main; main()"


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Sandbox:
    """At most `most` decoding processes, each started when it is first needed. Safe in threads."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most or min(core_count(), MOST)
        self._turns = threading.BoundedSemaphore(self.most)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._finalizer = weakref.finalize(self, _end_all, self._idle, self._busy)

    def start(self) -> None:
        """Start one process without waiting for it: the first image finds it there."""
        if not self._idle:
            self._idle.append(_Worker())

    def close(self) -> None:
        """End all processes: who waits for the answer of one gets Unavailable.

        Used again, the sandbox starts new ones.
        """
        _end_all(self._idle, self._busy)

    def run(
        self, order: Header, data: bytes, seconds: float, max_answer: int
    ) -> tuple[Header, bytearray]:
        """Have one process carry out an order, such as `bogv.imaging.worker` takes.

        seconds: that an image may take, more if it is large (`allowed_seconds`). max_answer:
        bytes. Raises TooCostly, DamagedImage (a decoder crashed), Overloaded (no process within
        WAIT_SECONDS), Unavailable.
        """
        if not self._turns.acquire(timeout=WAIT_SECONDS):
            raise Overloaded("Too many images wait to be decoded; try again later.")
        try:
            worker = self._take()
            self._busy.add(worker)
            try:
                answer = worker.run({**order, "seconds": seconds}, data, max_answer)
            except (OSError, EOFError, ValueError) as error:
                failure = worker.end(error)
                log.warning("An image of %d bytes was given up: %s", len(data), failure)
                raise failure from error
            except BaseException:
                worker.kill()
                raise
            finally:
                self._busy.discard(worker)
            self._idle.append(worker)
            return answer
        finally:
            self._turns.release()

    def _take(self) -> _Worker:
        while self._idle:
            with suppress(IndexError):  # another thread was faster
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.kill()
        return _Worker()


def _end_all(idle: list[_Worker], busy: set[_Worker]) -> None:
    while idle:
        idle.pop().kill()
    for worker in tuple(busy):  # its thread, which waits for an answer, does the rest
        worker.stop()


class _Worker:
    """One process."""

    def __init__(self) -> None:
        """Raises Unavailable."""
        # None of bogv's secrets, and one thread: as many processes compute as there are cores.
        environment = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        path = json.dumps([os.path.abspath(each) for each in sys.path])  # noqa: PTH100
        self._ready = False
        self._seconds = 0.0
        self._connection, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-I", "-c", _START, path],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is for the server
                )
        except OSError as error:
            self._connection.close()
            raise Unavailable(f"No process can be started to decode in: {error}.") from error

    def run(self, order: Header, data: bytes, max_answer: int) -> tuple[Header, bytearray]:
        """The answer to an order. Raises OSError (TimeoutError), EOFError, ValueError."""
        if not self._ready:
            receive(self._connection, 0, time.monotonic() + START_SECONDS)
            self._ready = True
        start = time.monotonic()
        self._seconds = order["seconds"]
        self._connection.settimeout(self._seconds)
        send(self._connection, order, data)
        while True:
            header, payload = receive(self._connection, max_answer, start + self._seconds)
            if "opened" not in header:
                return header, payload
            pixels = min(int(header["opened"]), order["max_pixels"])
            self._seconds = allowed_seconds(order["seconds"], pixels, len(data))

    def is_alive(self) -> bool:
        """Whether the process has not ended, by itself or by somebody's hand."""
        return self._process.poll() is None

    def end(self, error: Exception) -> BogvError:
        """End the process after `error`; what went wrong, for whoever waits for the image."""
        if isinstance(error, EOFError):  # it ends by itself, and its status will say why
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        self.kill()
        status = self._process.returncode
        if not self._ready:
            return Unavailable(f"The process to decode in did not start (status {status}).")
        if isinstance(error, TimeoutError) or status == -signal.SIGXCPU:
            return TooCostly(f"Decoding the image takes longer than {self._seconds:g} s.")
        if isinstance(error, EOFError) and status == -signal.SIGKILL:
            return Unavailable("The system ended the decoding, probably for want of memory.")
        return DamagedImage(f"The image makes its decoder crash (status {status}).")

    def stop(self) -> None:
        """Have the process end, whatever it does, for another thread than the one that uses it."""
        self._process.kill()

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._connection.close()
        self.stop()
        self._process.wait()
