"""A real Milvus server for tests without Docker: the `milvus-server` of the PyPI package `milvus`.

It binds every interface without a login, so it is shut in a network namespace of its own. A socket
belongs to the namespace that it was made in: the listening one is made outside, on 127.0.0.1, and
handed in, where `_forward` joins each connection to the server. A PID namespace goes with it: its
first process is this file, run as a script, and when that ends, the kernel ends every other one.
In a mount namespace the places that it writes to outside its data folder are its own.

    test process --(listening socket, pipe)--> unshare -> this file as PID 1 -> milvus-server
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.client
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

START_SECONDS = 90
END_SECONDS = 20
MILVUS_PORT = 19530  # inside the namespace, where nothing else can hold it
HEALTH_PORT = 9091
MOUNT = ("mount", "-t", "tmpfs", "tmpfs")
OUTSIDE = ("/run", "/tmp/milvus")  # noqa: S108, where the server writes beside its data folder
# Milvus takes its settings from the environment too, in this spelling.
SETTINGS = {
    # For so many seconds a server that has crashed is taken for alive by the next one on its data,
    # and until then that one serves no collection. Milvus' own value is 30.
    "COMMON_SESSION_TTL": "10",
    # ms; a question that wants the latest rows waits for the next tick. Milvus' own value is 200.
    "PROXY_TIMETICKINTERVAL": "50",
}
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # from linux/sockios.h and linux/if.h


def available() -> str | None:
    """Why the server can't run here, in one sentence; None if it can."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if _command() is None:
        return "milvus-server is not installed (pip install -r requirements-dev.txt)"
    if _namespace() is None:
        return "no right to make namespaces (`unshare`, as root or by way of a user namespace)"
    return None


def _command() -> str | None:
    beside = Path(sys.executable).with_name("milvus-server")
    return str(beside) if beside.is_file() else shutil.which("milvus-server")


def _namespace() -> list[str] | None:
    """The `unshare` command that works here: as root, else in a user namespace; None: neither."""
    for user in ([], ["--map-root-user"]):
        command = ["unshare", *user, "--net", "--pid", "--mount-proc", "--fork", "--kill-child"]
        with contextlib.suppress(FileNotFoundError, subprocess.CalledProcessError):
            subprocess.run([*command, *MOUNT, OUTSIDE[0]], capture_output=True, check=True)
            return command
    return None


class MilvusServer:
    """One server on one data folder; it keeps its address from one start to the next."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MilvusServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for MILVUS_HOST and MILVUS_PORT. RuntimeError before the first start."""
        if not self._port:
            raise RuntimeError("the server has not been started")
        return "127.0.0.1", self._port

    def start(self) -> None:
        """Returns when the server answers pymilvus (13 s; 10 s on a folder used before).

        After a crash, a collection that was loaded is not served for 5 to 8 seconds more, and the
        client gets "collection not loaded", as with any Milvus: a test of that is left possible.

        Raises RuntimeError, with the end of the logs, if it ends or takes more than 90 s.
        """
        if self._process is not None:
            raise RuntimeError("the server is running already")
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", self._port))
            self._port = listener.getsockname()[1]
            self._process = self._spawn(listener)
        try:
            self._wait(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends every process of the server and waits until they are gone. Twice does no harm."""
        # A gentle end takes longer, and keeps nothing that a hard one loses: so there is only one.
        self.kill()

    def kill(self) -> None:
        """SIGKILL to every process of the server at once, as in a crash; `start` works after it."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()  # the end of its input ends PID 1, and so the kernel all the others
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _spawn(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        namespace, command = _namespace(), _command()
        if namespace is None or command is None:
            raise RuntimeError(available())
        inside = [sys.executable, __file__, str(listener.fileno()), command, str(self._data)]
        self._data.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [*namespace, *inside],
                stdin=subprocess.PIPE,  # it ends with this process, however this process ends
                stdout=log,
                stderr=log,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the server
            )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (refusal := self._refusal()) is not None:
            if process.poll() is not None:
                raise RuntimeError(f"the Milvus server has ended\n{self._tail()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not up in {START_SECONDS} s: {refusal}\n{self._tail()}")
            time.sleep(0.1)

    def _refusal(self) -> str | None:
        """Why the server does not answer yet; None if it does."""
        host, port = self.address
        try:
            # The cheap look first: pymilvus logs an error for each try that fails.
            socket.create_connection((host, port), timeout=1).close()
            from pymilvus import MilvusClient  # slow to import, and the script has no use for it

            # Not the connection that pymilvus shares: closing that would hit a test's own client.
            client = MilvusClient(f"http://{host}:{port}", timeout=5, dedicated=True)
            with contextlib.closing(client):
                client.list_collections(timeout=5)
        except Exception as error:  # noqa: BLE001, no matter which: it is told if the time runs out
            return repr(error)
        return None

    @property
    def _log(self) -> Path:
        return self._data / "start.log"

    def _tail(self) -> str:
        """The last lines of what the server and its parents have said."""
        logs = [self._log, *sorted((self._data / "logs").glob("milvus-std*.log"))]
        parts = []
        for path in logs:
            lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
            parts.append("\n".join([f"--- {path.name}", *lines[-20:]]))
        return "\n".join(parts)


# What follows runs inside the namespace, as its first process.


def main(listener: int, command: str, data: str) -> None:
    """Runs the server and lets connections in, until standard input ends or the server does."""
    _raise_loopback()
    for folder in OUTSIDE:
        Path(folder).mkdir(exist_ok=True)
        subprocess.run([*MOUNT, folder], check=True)
    server = subprocess.Popen(
        [command, "--data", data], stdin=subprocess.DEVNULL, env={**os.environ, **SETTINGS}
    )
    asyncio.run(_forward(socket.socket(fileno=listener), server))


def _raise_loopback() -> None:
    """A new network namespace has its loopback interface, but down. (As `ip link set lo up`.)"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", IFF_UP)  # struct ifreq: name, flags, padding
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


async def _forward(listener: socket.socket, server: subprocess.Popen[bytes]) -> None:
    # Nobody writes to the input, so that it can be read means that it has ended. No clean-up: a
    # crash is wanted, and the end of this process is the end of the namespace.
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), os._exit, 0)
    while not await asyncio.to_thread(_healthy):
        if server.poll() is not None:
            sys.exit(f"milvus-server has ended with {server.returncode}")
        await asyncio.sleep(0.1)
    # Only now does the socket listen: until then, a connection is refused, as by a server that is
    # down, and does not hang in the queue.
    forwarder = await asyncio.start_server(_join, sock=listener)
    while forwarder.is_serving() and server.poll() is None:
        await asyncio.sleep(0.5)
    os._exit(1)  # not by the end of the loop, which would wait for open connections


def _healthy() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", HEALTH_PORT, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Joins one connection from outside to the server."""
    try:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", MILVUS_PORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # either side may go at any time
        while chunk := await source.read(1 << 16):
            target.write(chunk)
            await target.drain()
    target.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
