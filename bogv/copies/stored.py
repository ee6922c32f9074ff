"""The pictures of a gallery, as its thumbnails show them."""

from __future__ import annotations

import logging

from bogv.errors import BogvError, StorageUnavailable, Unavailable
from bogv.imaging.decoder import Decoder
from bogv.records import Picture
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)


def decode_thumbnail(
    thumbnails: Thumbnails, decoder: Decoder, image_id: int, reduced: bool = False
) -> Picture | None:
    """The thumbnail, decoded in the sandbox; None, with a warning, if it is missing or damaged.

    reduced: as of `Decoder.decode`. Raises StorageUnavailable, Unavailable.
    """
    thumbnail = thumbnails.read(image_id)
    if thumbnail is None:
        log.warning("Image %d has no thumbnail", image_id)
        return None
    try:
        return decoder.decode(thumbnail, reduced=reduced)
    except (StorageUnavailable, Unavailable):
        raise
    except BogvError as error:
        log.warning("The thumbnail of image %d can't be decoded: %s", image_id, error)
        return None
