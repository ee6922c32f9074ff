"""The whole server on Milvus Lite, as bogv's own, but for a network that takes no time.

`python -m tests.soak.serve`, with bogv's settings in the environment.
"""

from __future__ import annotations

from bogv.bootstrap import make_search, serve
from bogv.config import Settings
from bogv.imaging.decoder import Decoder
from bogv.logs import configure
from bogv.storage.milvus import MilvusStore
from bogv.web.connections import listen
from tests.support.fakes import fake_embedder


def main() -> None:
    settings = Settings()
    configure(settings.log_format)
    search = make_search(
        Decoder(settings.max_upload, settings.max_pixels, settings.decode_seconds),
        fake_embedder(),
        MilvusStore.lite(settings.data_dir, settings.collection),
        settings.thumbnails_url,
        settings.data_dir / "pending",
    )
    serve(settings, search, listen(settings.host, settings.port))


if __name__ == "__main__":
    main()
