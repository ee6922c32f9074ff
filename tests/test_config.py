from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from bogv.config import Settings, describe_unknown


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
        ("BOGV_QUERY_EXPANSION", "-1"),
        ("BOGV_QUERY_EXPANSION", "51"),
        ("BOGV_QUERY_EXPANSION", "2.5"),
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
def test_an_invalid_value_is_rejected_with_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_the_roots_default_to_the_data_and_pool_folders(tmp_path: Path) -> None:
    named = Settings(image_roots=os.pathsep.join(["/a", "/b"]))
    assert named.roots == [Path("/a"), Path("/b")]
    own = Settings(data_dir=tmp_path, image_pool_path=Path("/pool"))
    assert own.roots == [tmp_path, Path("/pool")]


def test_proxies_are_addresses_and_networks_and_none_by_default() -> None:
    assert Settings().proxies == []
    named = Settings(trusted_proxies="127.0.0.1, ::1,10.0.0.0/8,")
    assert named.proxies == ["127.0.0.1", "::1", "10.0.0.0/8"]


def test_host_names_are_limited_without_a_token_and_unlimited_with_one() -> None:
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


def test_the_data_folder_is_made_absolute() -> None:
    assert Settings().data_dir == Path("data").absolute()
    assert Settings(data_dir=Path("x")).samples_dir == Path("x").absolute() / "samples"


def test_each_collection_has_a_thumbnail_folder_of_its_own(tmp_path: Path) -> None:
    urls = {
        Settings(data_dir=tmp_path, collection=name).thumbnails_url for name in ("images", "a", "b")
    }
    assert len(urls) == 3
    folders = {Settings(data_dir=tmp_path, collection=name).duplicates_dir for name in ("a", "b")}
    assert len(folders) == 2
    assert Settings(collection="a", thumbnails="s3://bucket").thumbnails_url == "s3://bucket"


def test_bogvs_own_files_are_private_wherever_they_are_stored(tmp_path: Path) -> None:
    inside = Settings(data_dir=tmp_path).private_paths
    names = {"cache", "models", "thumbnails", "pending", "milvus.db", "originals", "judge"}
    names |= {"calibration", "duplicates"}
    assert {path.relative_to(tmp_path).parts[0] for path in inside} == names
    for url in ("/thumbs", "file:///thumbs", "local:///thumbs", "simplecache::file:///thumbs"):
        assert Path("/thumbs") in Settings(thumbnails=url).private_paths
    assert len(Settings(thumbnails="s3://bucket/thumbs").private_paths) == 9
    assert Path("thumbs").absolute() in Settings(thumbnails="thumbs").private_paths


@pytest.mark.parametrize("folder", [".", "cache/gradio", "thumbnails", "..", "link"])
def test_a_private_folder_can_not_be_imported(tmp_path: Path, folder: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "link").symlink_to("cache")
    with pytest.raises(ValidationError, match="IMAGE_INC_PATH overlaps a private path"):
        Settings(data_dir=data, image_inc_path=data / folder)
    assert Settings(data_dir=data, image_inc_path=data / "incoming").image_inc_path is not None


def test_a_misspelt_variable_is_told_with_the_nearest_setting() -> None:
    names = ["BOGV_DATADIR", "BOGV_NONSENSE", "BOGV_DATA_DIR", "bogv_host", "BOGV_BIND", "PATH"]
    assert describe_unknown(names) == [
        "There is no setting BOGV_DATADIR: it is ignored. Did you mean BOGV_DATA_DIR?",
        "There is no setting BOGV_NONSENSE: it is ignored.",
    ]
