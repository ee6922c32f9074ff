"""Settings: every environment variable that bogv reads, in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from fsspec.core import split_protocol, strip_protocol
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bogv.environment import unset_variables

Engine = Literal["auto", "openvino", "torch"]
LogFormat = Literal["text", "json"]
Precision = Literal["auto", "fp32", "bf16", "int8"]

_HOST_NAME = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*\.?|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")


class Settings(BaseSettings):
    """The settings, read from environment variables; an empty variable counts as unset.

    Raises pydantic's ValidationError, which names the variable, for an invalid value.
    """

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    milvus_host: str | None = Field(None, validation_alias="MILVUS_HOST", repr=False)
    milvus_port: int = Field(19530, validation_alias="MILVUS_PORT", ge=1, le=65535)
    milvus_user: str = Field("", validation_alias="MILVUS_USER")
    # Each file precedes its secret: a validator sees only the fields before its own.
    milvus_password_file: Path | None = Field(None, validation_alias="MILVUS_PASSWORD_FILE")
    milvus_password: SecretStr = Field(
        SecretStr(""), validation_alias="MILVUS_PASSWORD", validate_default=True
    )
    milvus_token_file: Path | None = Field(None, validation_alias="MILVUS_TOKEN_FILE")
    milvus_token: SecretStr = Field(
        SecretStr(""), validation_alias="MILVUS_TOKEN", validate_default=True
    )
    collection: str = Field("images", validation_alias="BOGV_COLLECTION", pattern=r"^[A-Za-z_]\w*$")

    token_file: Path | None = Field(None, validation_alias="TOKEN_FILE")
    token: SecretStr | None = Field(None, validation_alias="TOKEN", validate_default=True)
    host: str = Field("127.0.0.1", validation_alias="BOGV_HOST")
    port: int = Field(7000, validation_alias="API_PORT", ge=0, le=65535)
    rate_limit: str | None = Field(
        None, validation_alias="BOGV_RATE_LIMIT", pattern=r"^[1-9]\d{0,6}/(second|minute|hour|day)$"
    )
    root_path: str = Field("", validation_alias="BOGV_ROOT_PATH", pattern=r"^(/[\w~-][\w.~-]*)*$")
    trusted_proxies: str = Field("", validation_alias="BOGV_TRUSTED_PROXIES")
    allowed_hosts: str = Field("", validation_alias="BOGV_ALLOWED_HOSTS")
    max_connections: int = Field(1000, validation_alias="BOGV_MAX_CONNECTIONS", ge=8, le=30_000)
    http_status: Literal["200"] | None = Field(None, validation_alias="BOGV_HTTP_STATUS")

    data_dir: Path = Field(Path("data"), validation_alias="BOGV_DATA_DIR", validate_default=True)
    thumbnails: str | None = Field(None, validation_alias="BOGV_THUMBNAILS")
    weights: str = Field("auto", validation_alias="BOGV_WEIGHTS")
    engine: Engine = Field("auto", validation_alias="BOGV_ENGINE")
    precision: Precision = Field("auto", validation_alias="BOGV_PRECISION")

    # At most a TiB: far larger numbers overflow where they are used as a size to read.
    max_upload_mb: float = Field(
        20, validation_alias="BOGV_MAX_UPLOAD_MB", gt=0, le=2**20, allow_inf_nan=False
    )
    max_pixels: int = Field(64_000_000, validation_alias="BOGV_MAX_PIXELS", gt=0)
    decode_seconds: float = Field(10, validation_alias="BOGV_DECODE_SECONDS", gt=0, le=3600)
    image_roots: str | None = Field(None, validation_alias="BOGV_IMAGE_ROOTS")
    allow_private_urls: bool = Field(False, validation_alias="BOGV_ALLOW_PRIVATE_URLS")
    max_queue: int = Field(64, validation_alias="BOGV_MAX_QUEUE", ge=1)
    query_expansion: int = Field(0, validation_alias="BOGV_QUERY_EXPANSION", ge=0, le=50)
    canary_seconds: float = Field(
        300, validation_alias="BOGV_CANARY_SECONDS", ge=0, le=10**7, allow_inf_nan=False
    )
    judge: bool = Field(False, validation_alias="BOGV_JUDGE")
    log_format: LogFormat = Field("text", validation_alias="BOGV_LOG_FORMAT")
    image_inc_path: Path | None = Field(None, validation_alias="IMAGE_INC_PATH")
    image_pool_path: Path | None = Field(None, validation_alias="IMAGE_POOL_PATH")

    @field_validator("milvus_password", "milvus_token", "token")
    @classmethod
    def _read_secret_file(cls, given: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        file: Path | None = info.data.get(f"{info.field_name}_file")
        if file is None:
            return given
        variable = f"{info.field_name}_file".upper()
        if given is not None and given.get_secret_value():
            raise ValueError(f"{variable} is set too: set only one of them")
        try:
            secret = file.read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a NUL in the path
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ValueError(f"the file named by {variable} can't be read: {why}") from error
        if not secret:
            raise ValueError(f"the file named by {variable} is empty")
        return SecretStr(secret)

    @field_validator("data_dir")
    @classmethod
    def _make_absolute(cls, folder: Path) -> Path:
        """The gallery stores paths, which must not depend on the working directory."""
        return folder.absolute()

    @field_validator("trusted_proxies")
    @classmethod
    def _check_addresses(cls, joined: str) -> str:
        """Only addresses and networks: a host name can be spoofed, and `*` would trust anyone."""
        for proxy in _split(joined):
            ip_network(proxy)
        return joined

    @model_validator(mode="after")
    def _check_import_folder(self) -> Settings:
        """Uploads of queries, and thumbnails, must not be imported into the gallery."""
        if self.image_inc_path is not None:
            inc = self.image_inc_path.resolve()
            for own in (each.resolve() for each in self.private_paths):
                if inc.is_relative_to(own) or own.is_relative_to(inc):
                    raise ValueError(f"IMAGE_INC_PATH overlaps a private path of bogv: {own}")
        return self

    @field_validator("allowed_hosts")
    @classmethod
    def _check_host_names(cls, joined: str) -> str:
        """Names without ports."""
        for name in _split(joined):
            if not _HOST_NAME.fullmatch(name):
                raise ValueError("must be names, such as images.example.com or *.example.com, or *")
        return joined

    @property
    def hosts(self) -> list[str] | None:
        """The names accepted in a request's Host header, besides private ones; None: any.

        With a token, any name is accepted by default: pages of other sites don't know the token.
        """
        names = _split(self.allowed_hosts)
        allows_any = "*" in names or (self.token is not None and not names)
        return None if allows_any else names

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks of proxies whose forwarding headers are trusted."""
        return _split(self.trusted_proxies)

    @property
    def max_upload(self) -> int:
        """The maximum size of an image in bytes."""
        return int(self.max_upload_mb * 1024 * 1024)

    @property
    def samples_dir(self) -> Path:
        """The folder of the demo's sample images."""
        return self.data_dir / "samples"

    @property
    def cache_dir(self) -> Path:
        """The folder of files that can be regenerated, such as converted models."""
        return self.data_dir / "cache"

    @property
    def models_dir(self) -> Path:
        """Models made from the user's own images, which a gallery may depend on."""
        return self.data_dir / "models"

    @property
    def calibration_dir(self) -> Path:
        """What was measured on the gallery."""
        return self.data_dir / "calibration" / self.collection

    @property
    def judge_dir(self) -> Path:
        """The pools of results to judge (`bogv.judgements`)."""
        return self.data_dir / "judge"

    @property
    def duplicates_dir(self) -> Path:
        """The gallery's pairs of close hashes, and which of them are different pictures."""
        return self.data_dir / "duplicates" / self.collection

    @property
    def thumbnails_url(self) -> str:
        """An fsspec URL of the folder of thumbnails.

        One folder for each collection: two may hold an image with the same id, and deleting it in
        one must not remove the other's thumbnail.
        """
        folder = self.data_dir / "thumbnails"
        return self.thumbnails or str(
            folder if self.collection == "images" else folder / self.collection
        )

    @property
    def roots(self) -> list[Path]:
        """The folders below which server paths may be read, except `private_paths`."""
        if self.image_roots is not None:
            return [Path(root) for root in self.image_roots.split(os.pathsep) if root]
        return [each for each in (self.data_dir, self.image_pool_path) if each is not None]

    @property
    def private_paths(self) -> list[Path]:
        """Bogv's own files and folders, never readable by path, whatever BOGV_IMAGE_ROOTS says.

        The cache also holds the uploads of the demo's visitors.
        """
        names = (
            *("thumbnails", "pending", "originals", "milvus.db"),
            *("calibration", "duplicates"),
            self.judge_dir.name,
        )
        own = [self.cache_dir, self.models_dir, *(self.data_dir / name for name in names)]
        target = self.thumbnails_url.rpartition("::")[2]  # the URL behind chained fsspec caches
        if split_protocol(target)[0] in {None, "file", "local"}:
            own.append(Path(strip_protocol(target)))
        return own


# MILVUS_HOST and BOGV_THUMBNAILS may be URLs that contain a login.
_SECRET_VARIABLES = ("TOKEN", "MILVUS_PASSWORD", "MILVUS_TOKEN", "MILVUS_HOST", "BOGV_THUMBNAILS")


def read_settings() -> Settings:
    """Read the settings, once per process, and remove the secrets from the environment, so that
    neither this process nor its children expose them. Raises as `Settings` does."""
    settings = Settings()
    unset_variables(_SECRET_VARIABLES)
    return settings


OTHER_VARIABLES = {"BOGV_REQUIRE_ALL", "BOGV_DATASETS", "BOGV_BIND", "BOGV_MEMORY"}
"""Of the tests, the evaluation and compose.yaml, which may share an environment with the server."""


def describe_unknown(names: Iterable[str]) -> list[str]:
    """A sentence for each variable that begins with `BOGV_` and that nothing reads.

    A warning and no error: a variable that a new version has dropped must not keep a server from
    starting, nor one that is meant for a newer version.
    """
    known = {str(each.validation_alias) for each in Settings.model_fields.values()}
    sentences = []
    for name in sorted(names):
        if name.upper().startswith("BOGV_") and name.upper() not in known | OTHER_VARIABLES:
            near = get_close_matches(name.upper(), sorted(known), 1, 0.75)
            hint = f" Did you mean {near[0]}?" if near else ""
            sentences.append(f"There is no setting {name}: it is ignored.{hint}")
    return sentences


def _split(joined: str) -> list[str]:
    return [item.strip() for item in joined.split(",") if item.strip()]
