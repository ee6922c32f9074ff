"""Which files the demo takes and serves: a real server, and every event of its page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from gradio_client import Client, handle_file

from bogv.errors import PathNotAllowed
from bogv.ui.components import cache_file, uploaded_file
from bogv.ui.files import COOKIE, MAX_FILES, SignedFileNames
from bogv.ui.strings import STRINGS
from tests.support.demo import API
from tests.support.fakes import png
from tests.support.running import Server, running

JSON = {"Content-Type": "application/json"}
TOKEN = "let-me-in"
SAVED = "application/octet-stream"
DATA = {"search": (5, 0.0), "add": ("", "")}  # behind the image
META = {"_type": "gradio.FileData"}
REFUSED = STRINGS["not_uploaded"][0]


@dataclass
class Visitor:
    """A browser of its own, by its cookies."""

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
        """What became of events that are posted at once: each one's output, and its raw line."""
        session = uuid4().hex
        order = []
        for job in jobs:
            body = json.dumps({**job, "session_hash": session})  # half a surrogate pair, too
            joined = self.client.post(f"{API}/queue/join", content=body, headers=JSON)
            assert joined.status_code == 200, joined.text
            order.append(joined.json()["event_id"])
        done = {}
        with self.client.stream("GET", f"{API}/queue/data?session_hash={session}") as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "process_completed":
                    done[message["event_id"]] = message["output"], line
        return [done[each] for each in order]

    def call(self, name: str, body: Any) -> str:
        """By a name: `call/search`, `call/v2/search`."""
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


def place_of(data: Path, content: bytes) -> Path:
    """Where an upload lies."""
    [place] = [
        path
        for path in (data / "cache" / "gradio").rglob("*")
        if path.is_file() and path.read_bytes() == content
    ]
    return place


def tree(data: Path) -> set[Path]:
    """All that lies in the cache of uploads, and what its files hold."""
    return set((data / "cache").rglob("*"))


def hostile_paths(server: Server, data: Path, me: Visitor, other: Visitor) -> list[Any]:
    """What a browser might name, and may not."""
    mine, foreign = me.upload(png(1), "mine.png"), other.upload(png(2), "foreign.png")
    uploads = data / "cache" / "gradio"
    pipe, link = data.parent / "pipe.png", uploads / "link.png"
    if not link.is_symlink():
        os.mkfifo(pipe)
        link.symlink_to("/etc/passwd")
        (uploads / "pipe.png").symlink_to(pipe)
    mac, _, place = mine.partition("/")
    foreign_place = foreign.partition("/")[2]
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
        str(place_of(data, png(1))),  # mine, by its path
        str(place_of(data, png(2))),
        foreign,
        foreign_place,
        f"{mac}/{foreign_place}",
        f"{mac}/{place}/../../link.png",
        f"{mac}/../../../../../../../etc/passwd",
        f"{'0' * 64}/{place}",
        f"{mac}/./{place}",
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


def disguises(path: Any) -> Iterator[Any]:
    """A file as gradio might take it for one."""
    for meta in ({"meta": META}, {}, {"meta": META, "url": path, "is_stream": True}):
        file = {"path": path, "orig_name": "a.png", **meta}
        yield from (file, [file], {"value": file}, [[{"image": file, "caption": None}]])


def events(me: Visitor) -> list[dict[str, Any]]:
    """All of the page, those of its API among them."""
    found: list[dict[str, Any]] = me.client.get("/config").json()["dependencies"]
    assert {each["api_name"] for each in found} >= {"search", "add", "delete", "page"}
    assert len(found) > 30
    return found


def looks_refused(output: Any, line: str, path: Any) -> bool:
    """Refused in plain words, without an echo of the path."""
    told = output.get("error") == REFUSED
    return told and not (isinstance(path, str) and len(path) > 5 and path in line)


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_no_event_takes_a_file_that_is_not_its_visitors(
    server: Server, data: Path, me: Visitor, other: Visitor, step: int
) -> None:
    paths = hostile_paths(server, data, me, other)
    before = tree(data)
    for number, event in enumerate(events(me)):
        wanted = max(len(event["inputs"]), 1)
        # Every event meets each `step`-th path in one disguise, and each path every `step`-th
        # event, in all disguises after some.
        files = [
            (path, list(disguises(path))[(number + place) % 12])
            for place, path in enumerate(paths)
            if (number + place) % step == 0
        ]
        jobs = [
            {"fn_index": event["id"], "data": [file] * wanted, "event_data": None}
            for _, file in files
        ]
        clicks = [
            {"fn_index": event["id"], "data": [None] * wanted, "event_data": {"value": file}}
            for _, file in files[:4]
        ]
        done = me.run(jobs + clicks)
        for (path, file), (output, line) in zip([*files, *files[:4]], done, strict=True):
            assert looks_refused(output, line, path), (event["id"], file, output)
    assert tree(data) == before  # nothing was copied
    assert server.health()["status"] == "ok"


@pytest.mark.parametrize("route", ["call", "call/v2"])
def test_no_named_event_takes_a_file_that_is_not_its_visitors(
    server: Server, data: Path, me: Visitor, other: Visitor, route: str
) -> None:
    paths = hostile_paths(server, data, me, other)
    before = tree(data)
    for name in ("search", "add"):
        for number, path in enumerate(paths):
            file = list(disguises(path))[number % 12]
            body = {"image": file} if route == "call/v2" else {"data": [file, *DATA[name]]}
            answer = me.call(f"{route}/{name}", body)
            assert json.dumps(REFUSED) in answer
            assert not any(each in answer for each in (str(data), "/etc", "/proc", "root:"))
    assert tree(data) == before
    assert server.health()["status"] == "ok"


def test_gradios_other_ways_to_an_event_are_closed(me: Visitor) -> None:
    file = {"path": "/etc/passwd", "meta": META}
    for path in ("run/search", "run/predict", "api/search", "api/predict", "component_server"):
        body = {"data": [file], "fn_index": 0, "session_hash": "x"}
        assert me.client.post(f"{API}/{path}", json=body).status_code == 404


def test_a_file_is_served_to_its_visitor_alone(
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


def test_a_page_is_saved_and_not_shown(me: Visitor) -> None:
    for name, kind in (("a.html", "application/octet-stream"), ("a.svg", None), ("a.PNG", None)):
        answer = me.get(me.upload(b"<script>alert(1)</script>", name))
        shown = name == "a.PNG"
        assert answer.headers["Content-Type"] == ("image/png" if shown else kind or SAVED)
        assert ("Content-Disposition" in answer.headers) is not shown
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_file_that_became_a_link_or_a_pipe_is_not_read(data: Path, me: Visitor) -> None:
    for seed, is_link in ((100, True), (101, False)):
        name = me.upload(png(seed))
        place = place_of(data, png(seed))
        place.unlink()
        if is_link:
            place.symlink_to("/etc/passwd")
        else:
            os.mkfifo(place)
        assert me.get(name).status_code == 403
        answer = me.call("call/search", search_with(name))
        assert json.dumps(REFUSED) in answer
        place.unlink()


def test_an_answer_names_no_path_of_the_server(data: Path, me: Visitor) -> None:
    """Thumbnails, the query, an upload: searching with a picture, then with the best hit."""
    assert '"created"' in me.call("call/add", add_of(me.upload(png(5), "x #1%.png")))
    name = me.upload(png(5), "x #1%.png")
    by_image = next(each for each in events(me) if _is(each, "by_image"))
    file = {"path": name, "orig_name": "x.png", "url": "http://127.0.0.1/", "meta": META}
    [(output, line)] = me.run([{"fn_index": by_image["id"], "data": [file, 5, 0]}])
    assert str(data.parent) not in line
    [picture] = [each["image"] for each in _galleries(output) if each["caption"].startswith("1.0")]
    assert not picture["path"].startswith("/")
    shown = me.client.get(picture["url"])
    assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/webp")
    assert me.get(name.replace("#", "%23").replace("%.", "%25.")).status_code == 200
    place_of(data, png(5)).unlink()  # as gradio does with old ones
    [(output, line)] = me.run([{"fn_index": by_image["id"], "data": [file, 5, 0]}])
    assert output["error"] == REFUSED
    assert str(data.parent) not in line


def search_with(name: str) -> dict[str, Any]:
    return {"data": [{"path": name, "meta": META}, *DATA["search"]]}


def add_of(name: str) -> dict[str, Any]:
    return {"data": [{"path": name, "meta": META}, *DATA["add"]]}


def _is(event: dict[str, Any], name: str) -> bool:
    return str(event["api_name"]) == name


def _galleries(output: dict[str, Any]) -> list[dict[str, Any]]:
    values = [
        each["value"] for each in output["data"] if isinstance(each, dict) and "value" in each
    ]
    return [item for value in values if isinstance(value, list) for item in value]


def test_what_bogv_keeps_for_itself_is_no_source(data: Path, me: Visitor, server: Server) -> None:
    """Its parent is one of the roots."""
    assert '"created"' in me.call("call/add", add_of(me.upload(png(6))))
    mine = place_of(data, png(6))
    private = [mine, next((data / "thumbnails").glob("*.webp"))]
    open_to_all = data / "samples" / "mine.png"
    open_to_all.parent.mkdir(exist_ok=True)
    open_to_all.write_bytes(png(7))
    url, headers = f"{server.url}/api/image/sim/add/path", {"token": TOKEN}
    for path in [*private, Path(f"{data}/samples/../cache") / mine.relative_to(data / "cache")]:
        answer = httpx.post(url, json={"path": str(path)}, headers=headers, trust_env=False)
        assert "belongs to bogv" in answer.text
    added = httpx.post(url, json={"path": str(open_to_all)}, headers=headers, trust_env=False)
    assert added.json()["data"] is True
    [event] = [each for each in events(me) if _is(each, "add_1")]
    [(output, line)] = me.run([{"fn_index": event["id"], "data": [None, "", str(data.parent), ""]}])
    assert not any(path.name in line for path in private)
    verdicts = next(each for each in output["data"] if isinstance(each, str) and "summary" in each)
    assert "mine.png" in verdicts
    kept = {path.name for path in data.iterdir()}
    assert kept <= {"cache", "thumbnails", "pending", "milvus.db", "models", "samples"}


def test_gradios_own_client_may_upload_search_and_add(server: Server, tmp_path: Path) -> None:
    image = tmp_path / "mine.png"
    image.write_bytes(png(8))
    client = Client(server.url, auth=("anyone", TOKEN), verbose=False, analytics_enabled=False)
    added = client.predict(handle_file(str(image)), "key", "", api_name="/add")
    assert added["key"] == "key"
    hits = client.predict(handle_file(str(image)), 1, 0.0, api_name="/search")
    assert hits[0]["filepath"] == "mine.png"


def test_names_are_good_for_one_visitor_and_one_process(tmp_path: Path) -> None:
    names, elsewhere = SignedFileNames(tmp_path), SignedFileNames(tmp_path)
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab" / "图.png").touch()
    name = names.name(tmp_path / "ab" / "图.png", "me")
    assert names.path(name, "me") == tmp_path / "ab" / "图.png"
    for wrong in (names.path, elsewhere.path):
        with pytest.raises(PathNotAllowed):
            wrong(name, "another")
    with pytest.raises(PathNotAllowed):
        elsewhere.path(name, "me")
    with pytest.raises(ValueError, match="subpath"):
        names.name(Path("/etc/passwd"), "me")


@pytest.mark.usefixtures("uploads")
def test_a_handler_takes_nothing_from_outside_the_uploads() -> None:
    for path in ("/etc/passwd", f"{cache_file(b'x', 'x')}/../../..", None):
        with pytest.raises(PathNotAllowed):
            uploaded_file({"path": path})


def test_an_event_takes_a_bounded_number_of_files(tmp_path: Path) -> None:
    folder = tmp_path.resolve()
    (folder / "a").mkdir()
    (folder / "a" / "a.png").write_bytes(b"x")
    names = SignedFileNames(folder)
    file = {"path": names.name(folder / "a" / "a.png", "me")}
    assert len(names.paths_in([file] * MAX_FILES, "me")) == MAX_FILES
    with pytest.raises(PathNotAllowed, match="files at most"):
        names.paths_in([[file] * MAX_FILES, {"x": file}], "me")
