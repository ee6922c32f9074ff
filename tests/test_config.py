from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bogv.config import Settings


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields.values():
        monkeypatch.setenv(str(field.validation_alias), "")
    assert Settings() == Settings(data_dir=Path("data"))
    assert (Settings().milvus_host, Settings().token, Settings().port) == (None, None, 7000)


def test_the_documented_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"MILVUS_HOST": "db", "MILVUS_PORT": "1", "TOKEN": "t", "API_PORT": "2"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.milvus_host, settings.milvus_port, settings.port) == ("db", 1, 2)
    assert settings.token is not None
    assert settings.token.get_secret_value() == "t"
    assert "'t'" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "70000"),
        ("BOGV_MAX_UPLOAD_MB", "0"),
        ("BOGV_MAX_UPLOAD_MB", "inf"),
        ("BOGV_MAX_UPLOAD_MB", "nan"),
        ("BOGV_MAX_UPLOAD_MB", "-inf"),
        ("BOGV_MAX_UPLOAD_MB", "1e300"),
        ("BOGV_CANARY_SECONDS", "inf"),
        ("BOGV_CANARY_SECONDS", "nan"),
        ("BOGV_CANARY_SECONDS", "1e300"),
        ("BOGV_ENGINE", "abacus"),
        ("BOGV_HTTP_STATUS", "201"),
        ("BOGV_COLLECTION", "a-b"),
        ("BOGV_RATE_LIMIT", "60"),
        ("BOGV_RATE_LIMIT", "0/minute"),
        ("BOGV_RATE_LIMIT", "60/fortnight"),
        ("BOGV_ROOT_PATH", "bogv"),
        ("BOGV_ROOT_PATH", "/bogv/"),
        ("BOGV_ROOT_PATH", "/a//b"),
        ("BOGV_ROOT_PATH", "/.."),
        ("BOGV_TRUSTED_PROXIES", "*"),
        ("BOGV_TRUSTED_PROXIES", "proxy.example"),
        ("BOGV_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("BOGV_ALLOWED_HOSTS", "https://images.example"),
        ("BOGV_ALLOWED_HOSTS", "images.example:8443"),
        ("BOGV_ALLOWED_HOSTS", "a.example, b.*.example"),
        ("BOGV_MAX_CONNECTIONS", "0"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_paths_may_be_read_below_the_named_roots_else_below_bogvs_own(tmp_path: Path) -> None:
    named = Settings(image_roots=os.pathsep.join(["/a", "/b"]))
    assert named.roots == [Path("/a"), Path("/b")]
    own = Settings(data_dir=tmp_path, image_pool_path=Path("/pool"))
    assert own.roots == [tmp_path, Path("/pool")]


def test_proxies_are_addresses_and_networks_and_by_default_none() -> None:
    assert Settings().proxies == []
    named = Settings(trusted_proxies="127.0.0.1, ::1,10.0.0.0/8,")
    assert named.proxies == ["127.0.0.1", "::1", "10.0.0.0/8"]


def test_without_a_token_the_server_has_the_names_that_it_is_given_and_with_one_any() -> None:
    assert Settings().hosts == []
    assert Settings(token="t").hosts is None
    named = "images.example, *.lab.example,"
    for settings in (Settings(allowed_hosts=named), Settings(token="t", allowed_hosts=named)):
        assert settings.hosts == ["images.example", "*.lab.example"]
    assert Settings(allowed_hosts="a.example,*").hosts is None


def test_an_error_in_the_settings_shows_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOGV_TRUSTED_PROXIES", "http://me:s3cret@proxy")
    with pytest.raises(ValidationError) as caught:
        Settings(milvus_host="http://me:s3cret@db")
    assert "input_value" not in str(caught.value)
    assert "s3cret" not in repr(Settings.model_construct(milvus_host="http://me:s3cret@db"))


def test_the_data_folder_is_the_same_wherever_one_looks_from() -> None:
    assert Settings().data_dir == Path("data").absolute()
    assert Settings(data_dir=Path("x")).samples_dir == Path("x").absolute() / "samples"


def test_galleries_in_one_folder_keep_their_thumbnails_apart(tmp_path: Path) -> None:
    urls = {
        Settings(data_dir=tmp_path, collection=name).thumbnails_url for name in ("images", "a", "b")
    }
    assert len(urls) == 3
    assert Settings(collection="a", thumbnails="s3://bucket").thumbnails_url == "s3://bucket"


def test_what_bogv_keeps_for_itself_is_private_wherever_it_lies(tmp_path: Path) -> None:
    inside = Settings(data_dir=tmp_path).private
    names = {"cache", "models", "thumbnails", "pending", "milvus.db", "originals"}
    assert {path.relative_to(tmp_path).parts[0] for path in inside} == names
    for url in ("/thumbs", "file:///thumbs", "local:///thumbs", "simplecache::file:///thumbs"):
        assert Path("/thumbs") in Settings(thumbnails=url).private
    assert len(Settings(thumbnails="s3://bucket/thumbs").private) == 6
    assert Path("thumbs").absolute() in Settings(thumbnails="thumbs").private


@pytest.mark.parametrize("folder", [".", "cache/gradio", "thumbnails", "..", "link"])
def test_nothing_private_is_imported(tmp_path: Path, folder: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to("cache")
    with pytest.raises(ValidationError, match="IMAGE_INC_PATH holds what bogv keeps"):
        Settings(data_dir=data, image_inc_path=data / folder)
    assert Settings(data_dir=data, image_inc_path=data / "incoming").image_inc_path is not None
