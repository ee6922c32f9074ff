"""A folder of images to import, and links in it that lead out."""

from __future__ import annotations

from pathlib import Path

from tests.support.fakes import png


def make_folder(folder: Path) -> Path:
    """Two images, one of them in a folder below, and one that is no image."""
    (folder / "shoes").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(1))
    (folder / "shoes" / "b.png").write_bytes(png(2))
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


def make_links_out(folder: Path) -> Path:
    """Add links of all kinds; the image outside the folder that they lead to."""
    secret = folder.parent / "elsewhere" / "secret.png"
    secret.parent.mkdir()
    secret.write_bytes(png(7))
    (folder / "absolute.png").symlink_to(secret)
    (folder / "relative.png").symlink_to("../elsewhere/secret.png")
    (folder / "twice.png").symlink_to("absolute.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "environ.png").symlink_to("/proc/self/environ")
    (folder / "folder").symlink_to(secret.parent)
    (folder / "folder.png").symlink_to(secret.parent)
    return secret
