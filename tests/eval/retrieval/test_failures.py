from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
from PIL import Image

from eval.report.document import Strip, markdown
from eval.retrieval.failures import Pictures, failure_strips, make_tile_image, worst_queries
from eval.retrieval.report import run_report
from eval.retrieval.result import query_table
from tests.eval.support.retrieval import DECODER
from tests.eval.support.retrieval_report import blocks, measured
from tests.support.fakes import encoded


def test_the_worst_are_those_that_found_last_or_never() -> None:
    queries = pd.DataFrame(
        {
            "query": ["d", "b", "a", "c", "e", "perfect"],
            "first_relevant": pd.array([7, None, 1, 7, None, 1], "Int64"),
            "map": [0.1, 0.0, 0.9, 0.05, 0.0, 1.0],
        }
    )
    assert worst_queries(queries)["query"].tolist() == ["b", "e", "c", "d", "a"]
    assert worst_queries(queries, rows=2)["query"].tolist() == ["b", "e"]


def test_a_failure_shows_the_query_its_top_hits_and_the_first_relevant_image(
    class_folders: Path, tmp_path: Path
) -> None:
    outcome = measured(class_folders, tmp_path)
    pictures = Pictures.of(outcome.dataset, DECODER)
    strips = failure_strips(query_table(outcome.query_results), pictures)
    assert len(strips) == 8
    first = strips[0]
    query, *found = first.tiles
    # The picture of the next class: it finds that class' images first.
    assert query.mark == "query"
    own = re.fullmatch(r"class (\d) · (class \1/q45\.jpg)", query.caption)
    assert own is not None
    following = (int(own[1]) + 1) % 4
    assert [tile.mark for tile in found] == ["wrong", "wrong", "wrong", "right"]
    assert re.fullmatch(
        rf"class {following} · rank 1 · cosine [01]\.\d{{4}} · class {following}/q\d\d\.jpg",
        found[0].caption,
    )
    query_result = next(each for each in outcome.query_results if each.query == own[2])
    rank = query_result.first_relevant
    assert found[3].caption.startswith(f"class {own[1]} · rank {rank} · cosine ")
    assert found[3].caption.endswith(f" · {query_result.first_relevant_id}")
    assert f"is at rank {rank};" in first.caption
    for tile in first.tiles:
        with Image.open(io.BytesIO(tile.image)) as image:
            assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", 160)


def test_the_report_states_that_there_was_no_failure(class_folders: Path, tmp_path: Path) -> None:
    for path in class_folders.rglob("q45.jpg"):
        path.unlink()
    report = run_report(measured(class_folders, tmp_path), DECODER)
    assert not blocks(report, Strip)
    assert "there is no failure to show" in markdown(report)


def test_tiles_are_upright_and_tiny_images_are_enlarged() -> None:
    sideways = Image.new("RGB", (300, 100), "red")
    sideways.paste("blue", (0, 0, 150, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: blue comes to the top
    with Image.open(
        io.BytesIO(make_tile_image(encoded(sideways, "JPEG", exif=exif), DECODER))
    ) as tile:
        assert tile.size == (53, 160)
        red, _, blue = tile.convert("RGB").getpixel((26, 20))  # type: ignore[misc]
    assert blue > 200
    assert red < 50
    with Image.open(io.BytesIO(make_tile_image(encoded(Image.new("L", (8, 6))), DECODER))) as tile:
        assert (tile.size, tile.mode) == ((160, 120), "RGB")
