"""Pool of sandboxed decoding processes: starts them, sends requests, kills and replaces them."""

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

MAX_PROCESSES = 16
"""Enough on any number of cores: decoding is faster than the embedding that follows it."""
WAIT_SECONDS = 30.0
"""Longest wait of an image for a process while all are busy."""
START_SECONDS = 60.0
END_SECONDS = 5.0
_WORKER_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
_WORKER_PROGRAM += "from bogv.imaging.worker import main; main()"


def core_count() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Sandbox:
    """Up to `max_processes` decoding processes, started on demand. Thread-safe."""

    def __init__(self, max_processes: int | None = None) -> None:
        """max_processes: by default one for each core, at most MAX_PROCESSES."""
        self.max_processes = max_processes or min(core_count(), MAX_PROCESSES)
        self._slots = threading.BoundedSemaphore(self.max_processes)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._finalizer = weakref.finalize(self, _kill_all, self._idle, self._busy)

    def start(self) -> None:
        """Start one process ahead of the first image, without waiting for it."""
        if not self._idle:
            self._idle.append(_Worker())

    def close(self) -> None:
        """End all processes; calls of `run` in other threads raise Unavailable.

        The sandbox can be used again: it starts new processes.
        """
        _kill_all(self._idle, self._busy)

    def run(
        self, request: Header, data: bytes, seconds: float, max_response: int
    ) -> tuple[Header, bytearray]:
        """Send a request to one process; the header and payload of its response.

        request: as `bogv.imaging.worker` reads it. seconds: time limit, longer for a large image
        (`allowed_seconds`). max_response: bytes. Raises TooCostly, DamagedImage (a decoder
        crashed), Overloaded (no process was free within WAIT_SECONDS), Unavailable.
        """
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise Overloaded("Too many images wait to be decoded; try again later.")
        try:
            worker = self._take_worker()
            self._busy.add(worker)
            try:
                response = worker.run({**request, "seconds": seconds}, data, max_response)
            except (OSError, EOFError, ValueError) as error:
                failure = worker.kill_after(error)
                log.warning("Decoding an image of %d bytes failed: %s", len(data), failure)
                raise failure from error
            except BaseException:
                worker.kill()
                raise
            finally:
                self._busy.discard(worker)
            self._idle.append(worker)
            return response
        finally:
            self._slots.release()

    def _take_worker(self) -> _Worker:
        while self._idle:
            with suppress(IndexError):  # another thread took the last one
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.kill()
        return _Worker()


def _kill_all(idle: list[_Worker], busy: set[_Worker]) -> None:
    while idle:
        idle.pop().kill()
    for worker in tuple(busy):  # the thread that waits for its response cleans up
        worker.send_sigkill()


class _Worker:
    """One decoding process, used by one thread at a time."""

    def __init__(self) -> None:
        """Start the process. Raises Unavailable."""
        # A new environment keeps bogv's secrets out. One thread: there is a process for each core.
        environment = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        if "LD_LIBRARY_PATH" in os.environ:
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        path = json.dumps([os.path.abspath(each) for each in sys.path])  # noqa: PTH100
        self._ready = False
        self._seconds = 0.0
        self._connection, worker_end = socket.socketpair()
        try:
            with worker_end:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-I", "-c", _WORKER_PROGRAM, path],
                    stdin=worker_end.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,  # Ctrl-C must reach the server only
                )
        except OSError as error:
            self._connection.close()
            raise Unavailable(f"The decoding process can't be started: {error}.") from error

    def run(self, request: Header, data: bytes, max_response: int) -> tuple[Header, bytearray]:
        """Send a request and wait for its response.

        Raises OSError (TimeoutError), EOFError, ValueError.
        """
        if not self._ready:
            receive(self._connection, 0, time.monotonic() + START_SECONDS)
            self._ready = True
        start = time.monotonic()
        self._seconds = request["seconds"]
        self._connection.settimeout(self._seconds)
        send(self._connection, request, data)
        while True:
            header, payload = receive(self._connection, max_response, start + self._seconds)
            if "opened" not in header:
                return header, payload
            # The header of a large image was read: it is allowed more time.
            pixels = min(int(header["opened"]), request["max_pixels"])
            self._seconds = allowed_seconds(request["seconds"], pixels, len(data))

    def is_alive(self) -> bool:
        """Whether the process is still running."""
        return self._process.poll() is None

    def kill_after(self, error: Exception) -> BogvError:
        """Kill the process after `run` raised `error`; the error to raise to the caller."""
        if isinstance(error, EOFError):  # the process is exiting: its status gives the reason
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
        self.kill()
        status = self._process.returncode
        if not self._ready:
            return Unavailable(f"The decoding process did not start (status {status}).")
        if isinstance(error, TimeoutError) or status == -signal.SIGXCPU:
            return TooCostly(f"Decoding the image takes longer than {self._seconds:g} s.")
        if isinstance(error, EOFError) and status == -signal.SIGKILL:
            return Unavailable("The system killed the decoding process, probably out of memory.")
        return DamagedImage(f"The image makes its decoder crash (status {status}).")

    def send_sigkill(self) -> None:
        """Kill the process without waiting for it; safe while another thread uses it."""
        self._process.kill()

    def kill(self) -> None:
        """Kill the process, wait for its end and close the connection."""
        self._connection.close()
        self.send_sigkill()
        self._process.wait()
