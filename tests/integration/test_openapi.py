"""The OpenAPI file against the API: schemathesis makes requests from the one and asks the other.

Requests that fit the file and requests that don't, with a token, with none and with a wrong one:
no answer has a status, a type or a shape that the file doesn't tell.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings

from bogv.config import Settings
from bogv.errors import FetchFailed
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png

TOKEN = "s3cret"
EXAMPLES = 20
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
ROUTES = [
    f"{kind}/{source}"
    for kind, sources in {
        "add": ("file", "url", "path"),
        "search": ("file", "url", "path", "base64"),
        "del": ("id", "key"),
    }.items()
    for source in sources
]
MODES = ("positive", "negative")
OPERATIONS = [*(f"POST /image/sim/{route}" for route in ROUTES), "GET /health"]


class NoNetwork(Sources):
    """Every public URL leads to the same image; the checks before that are the real ones."""

    async def _fetch(self, url: httpx.URL) -> bytes:
        if url.host.endswith("invalid"):
            raise FetchFailed("The URL answered with status 404.")
        return png(1)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("openapi"))
    service.add(png(1), "there")
    yield service
    service.close()


def make_app(search: ImageSearch, folder: Path, token: str | None) -> FastAPI:
    # The environment's settings are not for the tests; the fixtures come before they are cleared.
    chosen = Settings.model_construct(token=None, max_upload_mb=0.1, http_status=None)
    if token:
        chosen = Settings(token=token, max_upload_mb=0.1)
    app = FastAPI()
    app.mount("/api", create_api(chosen, search, NoNetwork([folder], 100_000)))
    app.state.token = token
    return app


@pytest.fixture(scope="module", params=[None, TOKEN], ids=["open", "token"])
def app(request: pytest.FixtureRequest, search: ImageSearch, tmp_path_factory: Any) -> FastAPI:
    return make_app(search, tmp_path_factory.mktemp("roots"), request.param)


def schema_of(app: FastAPI) -> Any:
    import schemathesis  # takes a second, in each of a parallel run's workers

    # A file of settings that lies around is not for the tests. 413: what is wrong may be large too.
    refusals = ["400", "401", "403", "404", "405", "413", "415", "422"]
    config = schemathesis.Config.from_dict(
        {"checks": {"negative_data_rejection": {"expected-statuses": refusals}}}
    )
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, config=config)


@pytest.fixture(scope="module")
def schema(app: FastAPI) -> Any:
    return schema_of(app)


def checks_named(*names: str) -> list[Any]:
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    return [CHECKS.get_one(name) for name in names]


def excluded(token: str | None) -> list[Any]:
    """Bytes that are no image, paths outside the roots and the like fit the file and are refused,
    with a status that it tells; and without a token there is no door to be shut."""
    return checks_named("positive_data_acceptance", *([] if token else ["ignored_auth"]))


# Nothing can be wrong with a request for health: it takes no body, and no token is needed.
ASKED = [
    (label, mode)
    for label in OPERATIONS
    for mode in MODES
    if mode == "positive" or label != "GET /health"
]


@pytest.mark.parametrize(("label", "mode"), ASKED)
def test_every_answer_is_as_the_file_says(app: FastAPI, schema: Any, label: str, mode: str) -> None:
    from schemathesis.generation import GenerationMode

    operation = next(
        found.ok() for found in schema.get_all_operations() if found.ok().label == label
    )
    headers = {"token": TOKEN} if app.state.token else {}
    statuses = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case: Any) -> None:
        response = case.call(headers=headers)
        case.validate_response(response, excluded_checks=excluded(app.state.token), headers=headers)
        statuses.append(response.status_code)

    ask()
    assert statuses
    assert max(statuses) < 500


@pytest.mark.parametrize("headers", [{}, {"token": "wrong"}], ids=["none", "wrong"])
def test_without_the_token_every_answer_is_a_documented_refusal(
    search: ImageSearch, tmp_path: Path, headers: dict[str, str]
) -> None:
    checks = checks_named(*CONFORMANCE)
    for found in schema_of(make_app(search, tmp_path, TOKEN)).get_all_operations():
        operation = found.ok()
        # Who guesses on is told to wait, at health too.
        guessed = {429} if headers else set()
        due = guessed | {200 if operation.label == "GET /health" else 401}

        @settings(max_examples=3, derandomize=True, database=None, phases=[Phase.generate])
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.headers.pop("token", None)
            response = case.call(headers=headers)
            case.validate_response(response, checks=checks)
            assert response.status_code in due  # noqa: B023 - called at once

        ask()


CONFORMANCE = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def test_all_operations_are_asked(schema: Any) -> None:
    assert [found.ok().label for found in schema.get_all_operations()] == OPERATIONS


def test_another_method_is_told_which_is_right(app: FastAPI, schema: Any) -> None:
    """405 with `Allow`, as RFC 9110 demands, in the envelope."""
    client = TestClient(app, headers={"token": TOKEN})
    for path, operations in schema.raw_schema["paths"].items():
        right = {method.upper() for method in operations}
        assert all("405" in each["responses"] for each in operations.values()), path
        for method in METHODS - right:
            answer = client.request(method, f"/api{path}")
            assert answer.status_code == 405, (method, path)
            assert right <= set(answer.headers["Allow"].split(", "))
            assert answer.json()["error"]["type"] == "method-not-allowed"


def test_the_file_tells_each_status_that_there_is(schema: Any) -> None:
    for path, operations in schema.raw_schema["paths"].items():
        for operation in operations.values():
            told = set(operation["responses"])
            if path == "/health":
                assert {"200", "405", "503"} <= told
            else:
                assert {"200", "400", "401", "404", "405", "413", "415", "422", "503"} <= told
            for status, answer in operation["responses"].items():
                envelope = json.dumps(answer["content"]["application/json"])
                assert status == "200" or "Failure" in envelope, (path, status)
