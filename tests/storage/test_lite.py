"""Only one process can open a Milvus Lite folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bogv.errors import GalleryInUse
from bogv.storage.milvus import MilvusStore


def test_a_second_process_on_a_lite_folder_gets_gallery_in_use(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "images")
    script = (
        "import sys; from pathlib import Path; from bogv.storage.milvus import MilvusStore;"
        "MilvusStore.lite(Path(sys.argv[1]), 'images')"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    store.close()
    assert done.returncode == 1
    assert GalleryInUse.__name__ in done.stderr
    assert "Another process" in done.stderr
