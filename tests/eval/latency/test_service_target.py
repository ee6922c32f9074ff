from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

from bogv.errors import NotAnImage
from eval.harness.load import Image
from eval.latency.service_target import ServiceTarget
from tests.support.fakes import lite_search


def test_an_image_that_cannot_be_searched_is_an_error_of_its_kind(tmp_path: Path) -> None:
    service = lite_search(tmp_path)
    with closing(service), closing(ServiceTarget(service, 10, 2)) as target:
        reply = asyncio.run(target.send(Image("broken", b"no image")))
    assert reply.error == NotAnImage.type
    assert reply.started is not None
    assert reply.ended is not None
