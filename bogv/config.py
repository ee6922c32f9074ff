"""Settings: every environment variable that bogv reads, in one place."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Engine = Literal["auto", "openvino", "torch"]
LogFormat = Literal["text", "json"]
Precision = Literal["auto", "fp32", "bf16", "int8"]


class Settings(BaseSettings):
    """Read once, from the environment; an empty variable counts as unset.

    Raises pydantic's ValidationError, which names the variable, for a value that can't be meant.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, frozen=True, populate_by_name=True)

    milvus_host: str | None = Field(None, validation_alias="MILVUS_HOST")
    milvus_port: int = Field(19530, validation_alias="MILVUS_PORT", ge=1, le=65535)
    milvus_user: str = Field("", validation_alias="MILVUS_USER")
    milvus_password: SecretStr = Field(SecretStr(""), validation_alias="MILVUS_PASSWORD")
    milvus_token: SecretStr = Field(SecretStr(""), validation_alias="MILVUS_TOKEN")
    collection: str = Field("images", validation_alias="BOGV_COLLECTION", pattern=r"^[A-Za-z_]\w*$")

    token: SecretStr | None = Field(None, validation_alias="TOKEN")
    host: str = Field("127.0.0.1", validation_alias="BOGV_HOST")
    port: int = Field(7000, validation_alias="API_PORT", ge=0, le=65535)
    rate_limit: str | None = Field(
        None, validation_alias="BOGV_RATE_LIMIT", pattern=r"^[1-9]\d{0,6}/(second|minute|hour|day)$"
    )
    root_path: str = Field("", validation_alias="BOGV_ROOT_PATH", pattern=r"^(/[\w~-][\w.~-]*)*$")
    trusted_proxies: str = Field("", validation_alias="BOGV_TRUSTED_PROXIES")
    http_status: Literal["200"] | None = Field(None, validation_alias="BOGV_HTTP_STATUS")

    data_dir: Path = Field(Path("data"), validation_alias="BOGV_DATA_DIR", validate_default=True)
    thumbnails: str | None = Field(None, validation_alias="BOGV_THUMBNAILS")
    weights: str = Field("auto", validation_alias="BOGV_WEIGHTS")
    engine: Engine = Field("auto", validation_alias="BOGV_ENGINE")
    precision: Precision = Field("auto", validation_alias="BOGV_PRECISION")

    # Up to a TiB: beyond, it is no number of bytes that could be read.
    max_upload_mb: float = Field(
        20, validation_alias="BOGV_MAX_UPLOAD_MB", gt=0, le=2**20, allow_inf_nan=False
    )
    max_pixels: int = Field(64_000_000, validation_alias="BOGV_MAX_PIXELS", gt=0)
    image_roots: str | None = Field(None, validation_alias="BOGV_IMAGE_ROOTS")
    allow_private_urls: bool = Field(False, validation_alias="BOGV_ALLOW_PRIVATE_URLS")
    max_queue: int = Field(64, validation_alias="BOGV_MAX_QUEUE", ge=1)
    canary_seconds: float = Field(
        300, validation_alias="BOGV_CANARY_SECONDS", ge=0, le=10**7, allow_inf_nan=False
    )
    log_format: LogFormat = Field("text", validation_alias="BOGV_LOG_FORMAT")
    image_inc_path: Path | None = Field(None, validation_alias="IMAGE_INC_PATH")
    image_pool_path: Path | None = Field(None, validation_alias="IMAGE_POOL_PATH")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        """What is stored of its files must hold wherever the next process is started."""
        return folder.absolute()

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, joined: str) -> str:
        """Addresses and networks: a name, or `*`, would trust whoever takes it."""
        for proxy in _items(joined):
            ip_network(proxy)
        return joined

    @property
    def proxies(self) -> list[str]:
        """The addresses and networks whose word on a request's client and scheme is believed."""
        return _items(self.trusted_proxies)

    @property
    def max_upload(self) -> int:
        """Bytes that one image may have."""
        return int(self.max_upload_mb * 1024 * 1024)

    @property
    def samples_dir(self) -> Path:
        """Where the demo's sample images lie."""
        return self.data_dir / "samples"

    @property
    def cache_dir(self) -> Path:
        """What can be made again: converted models."""
        return self.data_dir / "cache"

    @property
    def models_dir(self) -> Path:
        """Models made from the user's own images, which a gallery may depend on."""
        return self.data_dir / "models"

    @property
    def thumbnails_url(self) -> str:
        """An fsspec URL of the folder of thumbnails.

        Two galleries may hold the same image: what one deletes, the other keeps.
        """
        folder = self.data_dir / "thumbnails"
        return self.thumbnails or str(
            folder if self.collection == "images" else folder / self.collection
        )

    @property
    def roots(self) -> list[Path]:
        """The folders below which a server path may be read."""
        if self.image_roots is not None:
            return [Path(root) for root in self.image_roots.split(os.pathsep) if root]
        return [folder for folder in (self.data_dir, self.image_pool_path) if folder is not None]


def _items(joined: str) -> list[str]:
    return [item.strip() for item in joined.split(",") if item.strip()]
