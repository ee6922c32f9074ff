"""Access to visitors' files, tested on a real server through every event of the page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from gradio_client import Client, handle_file

from bogv.errors import PathNotAllowed
from bogv.ui.files import COOKIE, MAX_FILES, SignedFileNames
from bogv.ui.strings import STRINGS
from tests.support.demo import API
from tests.support.fakes import png
from tests.support.running import Server, running

JSON = {"Content-Type": "application/json"}
TOKEN = "let-me-in"
DOWNLOAD = "application/octet-stream"
ARGUMENTS = {"search": (5, 0.0), "add": ("", "")}  # after the image
META = {"_type": "gradio.FileData"}
REJECTION = STRINGS["not_uploaded"][0]


@dataclass
class Visitor:
    """A logged-in browser with its own cookies."""

    url: str
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=60)
        login = self.client.post("/login", data={"username": "anyone", "password": TOKEN})
        assert login.status_code == 200

    def upload(self, data: bytes, name: str = "a.png") -> str:
        answer = self.client.post(f"{API}/upload", files={"files": (name, data)})
        assert answer.status_code == 200, answer.text
        return str(answer.json()[0])

    def get(self, name: str) -> httpx.Response:
        return self.client.get(f"{API}/file={name}")

    def run(self, jobs: list[dict[str, Any]]) -> list[tuple[Any, str]]:
        """Queue all events, then wait: the output and the raw message of each."""
        session = uuid4().hex
        event_ids = []
        for job in jobs:
            # Not httpx's `json=`, which can't encode a lone surrogate.
            body = json.dumps({**job, "session_hash": session})
            joined = self.client.post(f"{API}/queue/join", content=body, headers=JSON)
            assert joined.status_code == 200, joined.text
            event_ids.append(joined.json()["event_id"])
        outputs = {}
        with self.client.stream("GET", f"{API}/queue/data?session_hash={session}") as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    outputs[message["event_id"]] = message["output"], line
        return [outputs[each] for each in event_ids]

    def call(self, name: str, body: Any) -> str:
        """Call a named endpoint, such as `call/search` or `call/v2/search`: the raw stream."""
        joined = self.client.post(f"{API}/{name}", content=json.dumps(body), headers=JSON)
        return self.client.get(f"{API}/{name}/{joined.json()['event_id']}").text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("files") / "data"
    settings = {"TOKEN": TOKEN, "BOGV_ALLOW_PRIVATE_URLS": "1"}
    with running(data, BOGV_IMAGE_ROOTS=str(data.parent), **settings) as server:
        yield server


@pytest.fixture(scope="module")
def data(server: Server) -> Path:
    return server.log.with_name("data")


@pytest.fixture
def me(server: Server) -> Iterator[Visitor]:
    visitor = Visitor(server.url)
    yield visitor
    visitor.client.close()


@pytest.fixture
def other(server: Server) -> Iterator[Visitor]:
    visitor = Visitor(server.url)
    yield visitor
    visitor.client.close()


def find_upload(data: Path, content: bytes) -> Path:
    """The path of the upload with this content."""
    [path] = [
        path
        for path in (data / "cache" / "gradio").rglob("*")
        if path.is_file() and path.read_bytes() == content
    ]
    return path


def list_cache(data: Path) -> set[Path]:
    """All paths in the cache of uploads."""
    return set((data / "cache").rglob("*"))


def hostile_paths(server: Server, data: Path, me: Visitor, other: Visitor) -> list[Any]:
    """Paths and names that a browser could send and that must be rejected."""
    mine, foreign = me.upload(png(1), "mine.png"), other.upload(png(2), "foreign.png")
    uploads = data / "cache" / "gradio"
    pipe, link = data.parent / "pipe.png", uploads / "link.png"
    if not link.is_symlink():
        os.mkfifo(pipe)
        link.symlink_to("/etc/passwd")
        (uploads / "pipe.png").symlink_to(pipe)
    mac, _, relative_path = mine.partition("/")
    foreign_relative_path = foreign.partition("/")[2]
    return [
        "/proc/self/environ",
        "/proc/self/fd/0",
        "/etc/passwd",
        "/dev/zero",
        "../../../../../../etc/passwd",
        str(pipe),
        str(uploads / "pipe.png"),
        str(link),
        "link.png",
        str(data / "milvus.db"),
        str(find_upload(data, png(1))),  # the visitor's own file, but by its path
        str(find_upload(data, png(2))),
        foreign,
        foreign_relative_path,
        f"{mac}/{foreign_relative_path}",
        f"{mac}/{relative_path}/../../link.png",
        f"{mac}/../../../../../../../etc/passwd",
        f"{'0' * 64}/{relative_path}",
        f"{mac}/./{relative_path}",
        f"{mine}\0",
        f" {mine}",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "%2Fetc%2Fpasswd",
        "/etc%2fpasswd",
        "..%252f..%252fetc/passwd",
        f"{server.url}/api/health",
        f"{server.url}/gradio_api/file=/etc/passwd",
        f"HTTP://{server.url.partition('//')[2]}/api/health",
        "data:image/png;base64,AAAA",
        "\ud800",
        "",
        None,
        7,
        ["/etc/passwd"],
        {"path": "/etc/passwd"},
    ]


def file_objects(path: Any) -> Iterator[Any]:
    """JSON values that gradio could read as a file with this path."""
    for meta in ({"meta": META}, {}, {"meta": META, "url": path, "is_stream": True}):
        file = {"path": path, "orig_name": "a.png", **meta}
        yield from (file, [file], {"value": file}, [[{"image": file, "caption": None}]])


def events(me: Visitor) -> list[dict[str, Any]]:
    """All events of the page, including the named endpoints."""
    dependencies: list[dict[str, Any]] = me.client.get("/config").json()["dependencies"]
    assert {each["api_name"] for each in dependencies} >= {"search", "add", "delete", "page"}
    assert len(dependencies) > 30
    return dependencies


def is_rejected(output: Any, line: str, path: Any) -> bool:
    """Whether the output is the error for users, and the raw message doesn't repeat the path."""
    is_path_repeated = isinstance(path, str) and len(path) > 5 and path in line
    return output.get("error") == REJECTION and not is_path_repeated


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_every_event_rejects_files_of_other_visitors_and_of_the_server(
    server: Server, data: Path, me: Visitor, other: Visitor, step: int
) -> None:
    paths = hostile_paths(server, data, me, other)
    before = list_cache(data)

    def check(number: int, event: dict[str, Any]) -> None:
        input_count = max(len(event["inputs"]), 1)
        # Each event gets every `step`-th path, and each path goes to every `step`-th event. The
        # form of the file object rotates, so that each path is sent in all forms.
        files = [
            (path, list(file_objects(path))[(number + index) % 12])
            for index, path in enumerate(paths)
            if (number + index) % step == 0
        ]
        jobs = [
            {"fn_index": event["id"], "data": [file] * input_count, "event_data": None}
            for _, file in files
        ]
        clicks = [
            {"fn_index": event["id"], "data": [None] * input_count, "event_data": {"value": file}}
            for _, file in files[:4]
        ]
        done = me.run(jobs + clicks)
        for (path, file), (output, line) in zip([*files, *files[:4]], done, strict=True):
            assert is_rejected(output, line, path), (event["id"], file, output)

    with ThreadPoolExecutor(8) as threads:  # each mostly waits for gradio, which polls
        list(threads.map(check, count(), events(me)))
    assert list_cache(data) == before  # nothing was copied
    assert server.health()["status"] == "ok"


@pytest.mark.parametrize("route", ["call", "call/v2"])
def test_the_named_endpoints_reject_files_of_other_visitors_and_of_the_server(
    server: Server, data: Path, me: Visitor, other: Visitor, route: str
) -> None:
    paths = hostile_paths(server, data, me, other)
    before = list_cache(data)

    def check(name: str, number: int, path: Any) -> None:
        file = list(file_objects(path))[number % 12]
        body = {"image": file} if route == "call/v2" else {"data": [file, *ARGUMENTS[name]]}
        answer = me.call(f"{route}/{name}", body)
        assert json.dumps(REJECTION) in answer
        assert not any(each in answer for each in (str(data), "/etc", "/proc", "root:"))

    with ThreadPoolExecutor(8) as threads:
        for name in ("search", "add"):
            list(threads.map(partial(check, name), count(), paths))
    assert list_cache(data) == before
    assert server.health()["status"] == "ok"


def test_gradios_other_routes_to_events_are_not_served(me: Visitor) -> None:
    file = {"path": "/etc/passwd", "meta": META}
    for path in ("run/search", "run/predict", "api/search", "api/predict", "component_server"):
        body = {"data": [file], "fn_index": 0, "session_hash": "x"}
        assert me.client.post(f"{API}/{path}", json=body).status_code == 404


def test_a_file_is_served_to_its_own_visitor_only(
    server: Server, data: Path, me: Visitor, other: Visitor
) -> None:
    mine = me.upload(png(1), "mine.png")
    for path in hostile_paths(server, data, me, other):
        encoded = quote(str(path).encode("utf-8", "surrogatepass"), safe="")
        for answer in (me.get(encoded), me.client.get(f"{API}/file/{encoded}")):
            assert answer.status_code in {403, 404}, path
            assert answer.text in {"File not allowed", "Not found"}
    assert me.get(mine).content == png(1)
    assert other.get(mine).status_code == 403
    assert httpx.get(f"{server.url}{API}/file={mine}", trust_env=False).status_code == 401
    other.client.cookies.set(COOKIE, "short")
    assert other.get(mine).status_code == 403
    assert me.client.head(f"{API}/file={mine}").headers["Content-Length"] == str(len(png(1)))


def test_files_that_could_contain_scripts_are_downloads(me: Visitor) -> None:
    for name, media_type in (("a.html", DOWNLOAD), ("a.svg", DOWNLOAD), ("a.PNG", "image/png")):
        answer = me.get(me.upload(b"<script>alert(1)</script>", name))
        assert answer.headers["Content-Type"] == media_type
        assert ("Content-Disposition" in answer.headers) is (media_type == DOWNLOAD)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_that_was_replaced_by_a_link_or_a_pipe_is_not_read(data: Path, me: Visitor) -> None:
    for seed, is_link in ((100, True), (101, False)):
        name = me.upload(png(seed))
        path = find_upload(data, png(seed))
        path.unlink()
        if is_link:
            path.symlink_to("/etc/passwd")
        else:
            os.mkfifo(path)
        assert me.get(name).status_code == 403
        answer = me.call("call/search", search_body(name))
        assert json.dumps(REJECTION) in answer
        path.unlink()


def test_outputs_contain_no_path_of_the_server(data: Path, me: Visitor) -> None:
    """Neither those of thumbnails nor that of the query, also after its file was deleted."""
    assert '"created"' in me.call("call/add", add_body(me.upload(png(5), "x #1%.png")))
    name = me.upload(png(5), "x #1%.png")
    [event] = [each for each in events(me) if each["api_name"] == "search_by_image"]
    file = {"path": name, "orig_name": "x.png", "url": "http://127.0.0.1/", "meta": META}
    [(output, line)] = me.run([{"fn_index": event["id"], "data": [file, 5, 0, 0]}])
    assert str(data.parent) not in line
    items = gallery_items(output)
    [picture] = [each["image"] for each in items if "\n1.0" in each["caption"]]
    assert not picture["path"].startswith("/")
    shown = me.client.get(picture["url"])
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
    assert me.get(name.replace("#", "%23").replace("%.", "%25.")).status_code == 200
    find_upload(data, png(5)).unlink()  # as gradio does with old files
    [(output, line)] = me.run([{"fn_index": event["id"], "data": [file, 5, 0, 0]}])
    assert output["error"] == REJECTION
    assert str(data.parent) not in line


def search_body(name: str) -> dict[str, Any]:
    return {"data": [{"path": name, "meta": META}, *ARGUMENTS["search"]]}


def add_body(name: str) -> dict[str, Any]:
    return {"data": [{"path": name, "meta": META}, *ARGUMENTS["add"]]}


def gallery_items(output: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of all galleries in the output of an event."""
    values = [
        each["value"] for each in output["data"] if isinstance(each, dict) and "value" in each
    ]
    return [item for value in values if isinstance(value, list) for item in value]


def test_bogvs_private_files_cannot_be_added_to_the_gallery(
    data: Path, me: Visitor, server: Server
) -> None:
    """The parent of the data folder is one of BOGV_IMAGE_ROOTS."""
    assert '"created"' in me.call("call/add", add_body(me.upload(png(6))))
    uploaded = find_upload(data, png(6))
    private = [uploaded, next((data / "thumbnails").glob("*.webp"))]
    sample = data / "samples" / "mine.png"
    sample.parent.mkdir(exist_ok=True)
    sample.write_bytes(png(7))
    url, headers = f"{server.url}/api/image/sim/add/path", {"token": TOKEN}
    for path in [*private, Path(f"{data}/samples/../cache") / uploaded.relative_to(data / "cache")]:
        answer = httpx.post(url, json={"path": str(path)}, headers=headers, trust_env=False)
        assert "belongs to bogv" in answer.text
    added = httpx.post(url, json={"path": str(sample)}, headers=headers, trust_env=False)
    assert added.json()["data"] is True
    [event] = [each for each in events(me) if each["api_name"] == "add_1"]
    [(output, line)] = me.run(
        [{"fn_index": event["id"], "data": [None, "", str(data.parent), "", False]}]
    )
    assert not any(path.name in line for path in private)
    verdicts = next(each for each in output["data"] if isinstance(each, str) and "summary" in each)
    assert "mine.png" in verdicts
    names = {path.name for path in data.iterdir()}
    assert names <= {"cache", "thumbnails", "pending", "milvus.db", "models", "samples"}


def test_gradio_client_can_upload_search_and_add(server: Server, tmp_path: Path) -> None:
    image = tmp_path / "mine.png"
    image.write_bytes(png(8))
    client = Client(server.url, auth=("anyone", TOKEN), verbose=False, analytics_enabled=False)
    added = client.predict(handle_file(str(image)), "key", "", api_name="/add")
    assert added["key"] == "key"
    hits = client.predict(handle_file(str(image)), 1, 0.0, api_name="/search")
    assert hits[0]["filepath"] == "mine.png"


def test_names_are_valid_for_one_visitor_and_one_process(tmp_path: Path) -> None:
    names, other_process = SignedFileNames(tmp_path), SignedFileNames(tmp_path)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "图.png").touch()
    name = names.sign(tmp_path / "ab" / "图.png", "me")
    assert names.resolve(name, "me") == tmp_path / "ab" / "图.png"
    for resolve in (names.resolve, other_process.resolve):
        with pytest.raises(PathNotAllowed):
            resolve(name, "another")
    with pytest.raises(PathNotAllowed):
        other_process.resolve(name, "me")
    with pytest.raises(ValueError, match="subpath"):
        names.sign(Path("/etc/passwd"), "me")


def test_an_event_takes_a_bounded_number_of_files(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "a").mkdir()
    (folder / "a" / "a.png").write_bytes(b"x")
    names = SignedFileNames(folder)
    file = {"path": names.sign(folder / "a" / "a.png", "me")}
    assert len(names.replace_names([file] * MAX_FILES, "me")) == MAX_FILES
    with pytest.raises(PathNotAllowed, match="files at most"):
        names.replace_names([[file] * MAX_FILES, {"x": file}], "me")
