from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.data.catalogue import DatasetError, Folder, read_catalogue
from eval.data.datasets import load
from eval.data.fetch import fetch
from tests.eval.support.datasets import spec
from tests.support.web import reply, serving

Server = Callable[[BaseHTTPRequestHandler], None]


def test_fetch_lets_torchvision_download_each_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    calls: list[Any] = []

    def dtd(root: Path, **options: Any) -> None:
        calls.append((root, options))

    monkeypatch.setattr(torchvision.datasets, "DTD", dtd)
    assert fetch("dtd", tmp_path / "dtd") == tmp_path / "dtd"
    assert calls == [
        (tmp_path / "dtd", {"split": split, "download": True}) for split in ("train", "val", "test")
    ]


def test_a_download_that_torchvision_can_not_do_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    def down(_: Path, **options: Any) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", down)
    with pytest.raises(DatasetError, match=r"eurosat: .*not found or corrupted"):
        fetch("eurosat", tmp_path)


def png_bytes(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


MEMBERS = {"a/1.png": png_bytes(1), "a/2.png": png_bytes(2), "b/1.png": png_bytes(3)}


def tar_of(members: Mapping[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(content)
    return out.getvalue()


def zip_of(members: Mapping[Any, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return out.getvalue()


def answering(bodies: Mapping[str, bytes], seen: list[str] | None = None) -> Server:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.rsplit("/", 1)[1]
        if seen is not None:
            seen.append(name)
        reply(handler, bodies.get(name, b"gone"), 200 if name in bodies else 404)

    return answer


def file_of(base: str, name: str, body: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"{base}/{name}",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "md5": hashlib.md5(body).hexdigest(),  # noqa: S324 - a checksum
        **changes,
    }


def everything(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.tar.gz", tar_of(MEMBERS)),
        ("x.tgz", tar_of(MEMBERS)),
        ("x.tar", tar_of(MEMBERS, "w")),
        ("x.zip", zip_of(MEMBERS)),
    ],
)
def test_an_archive_is_fetched_checked_and_unpacked(
    tmp_path: Path, name: str, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new" / "folder"
    with serving(answering({name: body})) as base:
        entry_ = spec(files=[file_of(base, name, body)], counts={"images": 3, "classes": 2})
        assert fetch(entry_, root) == root
    assert name in capsys.readouterr().err
    dataset = load(entry_, root)
    assert {item.id: item.read() for item in dataset.items} == MEMBERS
    assert everything(root) == ["a", "a/1.png", "a/2.png", "b", "b/1.png"]


def test_existing_files_are_not_downloaded_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    body = tar_of(MEMBERS)
    with serving(answering({"x.tgz": body}, seen)) as base:
        entry_ = spec(files=[file_of(base, "x.tgz", body)], counts={"images": 3})
        for _ in range(2):
            fetch(entry_, tmp_path, progress=False)
        assert seen == ["x.tgz"]
        (tmp_path / "a" / "1.png").unlink()
        fetch(entry_, tmp_path, progress=False)
    assert seen == ["x.tgz", "x.tgz"]
    assert len(load(entry_, tmp_path).items) == 3
    assert capsys.readouterr().err == ""


def test_several_archives_may_share_folders_and_files_lie_beside_them(tmp_path: Path) -> None:
    bodies = {
        "1.tgz": tar_of({"jpg/a/1.png": png_bytes(1)}),
        "2.tgz": tar_of({"jpg/a/2.png": png_bytes(2), "jpg/b/1.png": png_bytes(3)}),
        "list.pkl": b"list",
    }
    with serving(answering(bodies)) as base:
        files = [file_of(base, name, body) for name, body in bodies.items()]
        files[0]["into"] = files[1]["into"] = "all"
        fetch(spec(files=files), tmp_path, progress=False)
    assert [name for name in everything(tmp_path) if "." in name] == [
        *("all/jpg/a/1.png", "all/jpg/a/2.png", "all/jpg/b/1.png", "list.pkl"),
    ]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [({"sha256": "0" * 64}, "SHA-256"), ({"md5": "0" * 32}, "MD5"), ({"size": 7}, "size")],
)
def test_a_file_with_a_bad_checksum_is_refused_and_leaves_nothing(
    tmp_path: Path, wrong: dict[str, Any], what: str
) -> None:
    body = tar_of(MEMBERS)
    with serving(answering({"x.tgz": body})) as base:
        entry_ = spec(files=[file_of(base, "x.tgz", body, **wrong)])
        with pytest.raises(DatasetError, match=rf"made-up: x\.tgz is not .* its {what} is"):
            fetch(entry_, tmp_path, progress=False)
    assert everything(tmp_path) == []


def test_an_interrupted_download_leaves_no_file(tmp_path: Path) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        body = tar_of(MEMBERS)
        reply(handler, body[:-10], 200, **{"Content-Length": str(len(body))})

    with serving(broken) as base:
        entry_ = spec(files=[{"name": "x.tgz", "url": f"{base}/x.tgz"}])
        with pytest.raises(DatasetError, match=r"can't be downloaded: .* Ask Ada for it"):
            fetch(entry_, tmp_path, progress=False)
    assert everything(tmp_path) == []


def test_a_server_that_has_nothing_is_an_error(tmp_path: Path) -> None:
    with serving(answering({})) as base:
        entry_ = spec(files=[{"name": "x.tgz", "url": f"{base}/x.tgz"}])
        with pytest.raises(DatasetError, match="404"):
            fetch(entry_, tmp_path, progress=False)
    assert everything(tmp_path) == []


def test_an_archive_is_not_decompressed_during_the_download(tmp_path: Path) -> None:
    """Servers are known to call a .tar.gz a gzip-encoded .tar; its checksum is still the file's."""
    body = tar_of(MEMBERS)
    assert gzip.decompress(body)

    def encoded(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, body, 200, **{"Content-Encoding": "gzip"})

    with serving(encoded) as base:
        fetch(spec(files=[file_of(base, "x.tgz", body)]), tmp_path, progress=False)
    assert (tmp_path / "b" / "1.png").exists()


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped_link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.tar", tar_of({"ok.png": b"", "../out.png": b"out"}, "w")),
        ("x.tar", tar_of({"a/../../out.png": b"out"}, "w")),
        ("x.tar", tar_of({"/tmp/bogv-out.png": b"out"}, "w")),  # noqa: S108 - refused
        ("x.tar", tar_of({"l": link("l", tarfile.SYMTYPE, ".."), "l/out.png": b"out"}, "w")),
        ("x.tar", tar_of({"l": link("l", tarfile.LNKTYPE, "/etc/passwd")}, "w")),
        ("x.tar", tar_of({"l": link("l", tarfile.FIFOTYPE, "")}, "w")),
        ("x.zip", zip_of({"ok.png": b"", "../out.png": b"out"})),
        ("x.zip", zip_of({"..\\out.png": b"out"})),
        ("x.zip", zip_of({"C:/out.png": b"out"})),
        ("x.zip", zip_of({zipped_link(): b".."})),
    ],
)
def test_a_hostile_archive_is_refused_and_nothing_of_it_stays(
    tmp_path: Path, name: str, body: bytes
) -> None:
    root = tmp_path / "root"
    with serving(answering({name: body})) as base:
        entry_ = spec(files=[{"name": name, "url": f"{base}/{name}"}])
        with pytest.raises(DatasetError, match=rf"{name} is rejected: .*(leads out|is a link)"):
            fetch(entry_, root, progress=False)
    assert everything(tmp_path) == ["root", f"root/{name}"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.tgz", tar_of(MEMBERS)[:-40]),
        ("x.tar", b"no tar"),
        ("x.zip", b"no zip"),
        ("x.zip", zip_of(MEMBERS)[:-30]),
    ],
)
def test_a_damaged_archive_is_an_error(tmp_path: Path, name: str, body: bytes) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(DatasetError, match=f"made-up: {name} is damaged"):
        fetch(spec(files=[{"name": name}]), tmp_path, progress=False)
    assert everything(tmp_path) == [name]


def test_an_archive_put_there_by_hand_is_checked_unpacked_and_kept(tmp_path: Path) -> None:
    body = tar_of(MEMBERS)
    file = {**file_of("http://nowhere", "x.tgz", body), "url": None}
    (tmp_path / "x.tgz").write_bytes(body)
    fetch(spec(files=[file]), tmp_path)
    assert len(load(spec(), tmp_path).items) == 3
    assert (tmp_path / "x.tgz").exists()
    with pytest.raises(DatasetError, match="SHA-256"):
        fetch(spec(files=[{**file, "sha256": "0" * 64}]), tmp_path)


@pytest.mark.parametrize("files", [[], [{"name": "x.zip"}]])
def test_the_error_for_a_file_without_a_url_says_where_to_get_it(
    tmp_path: Path, files: list[Any]
) -> None:
    with pytest.raises(DatasetError) as caught:
        fetch(spec(files=files), tmp_path)
    for part in ("made-up", "Ask Ada", "https://example.org/made-up", "CC0", str(tmp_path)):
        assert part in str(caught.value)


def test_a_file_instead_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "x.tgz").write_bytes(tar_of(MEMBERS))
    with pytest.raises(DatasetError, match="can't be fetched"):
        fetch(spec(files=[{"name": "x.tgz"}]), tmp_path)


def test_digits_need_not_be_fetched() -> None:
    assert fetch("digits") is None


def test_every_listed_dataset_without_a_url_says_how_to_get_it(tmp_path: Path) -> None:
    for entry_ in read_catalogue().values():
        if isinstance(entry_.source, Folder) and not any(f.url for f in entry_.source.files):
            with pytest.raises(DatasetError, match=f"Dataset {entry_.id}: .*licence: "):
                fetch(entry_, tmp_path)
