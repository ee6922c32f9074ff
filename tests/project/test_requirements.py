"""The locked requirements hold what the short files ask for, and are installed as locked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
import zipfile
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.install import without_cuda
from tools.licences import HEAD, PAGE, installed_licence, pins, rows, table

ROOT = Path(__file__).parents[2]
RUNTIME = (ROOT / "requirements.txt").read_text("utf-8")
DEV = (ROOT / "requirements-dev.txt").read_text("utf-8")
# What the lock is for: the environments in which the short files' markers differ.
ENVIRONMENTS = [
    {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": system}
    | {"platform_machine": machine, "implementation_name": "cpython", "platform_system": ""}
    for python in ("3.10", "3.11", "3.12", "3.13")
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))
]
each_lock = pytest.mark.parametrize("lock", [RUNTIME, DEV], ids=["runtime", "dev"])


def wanted(name: str) -> list[Requirement]:
    """The requirements of a short file."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def entries(lock: str) -> list[tuple[Requirement, set[str]]]:
    """Each requirement of a lock, and its hashes."""
    found = re.findall(r"^(\w.*?)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", lock, re.MULTILINE)
    return [(Requirement(line), set(re.findall(r"[0-9a-f]{64}", hashes))) for line, hashes in found]


def applies(marker: Marker | None, environment: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(environment)


def chosen(requirements: list[Requirement], environment: dict[str, str]) -> dict[str, str]:
    """Name and version specifier of each that applies in that environment; one of each name."""
    here = [each for each in requirements if applies(each.marker, environment)]
    names = [canonicalize_name(each.name) for each in here]
    assert len(names) == len(set(names)), "two versions at once"
    return {name: str(each.specifier) for name, each in zip(names, here, strict=True)}


@each_lock
def test_everything_is_pinned_and_has_hashes(lock: str) -> None:
    locked = entries(lock)
    assert len(locked) == sum(map(len, pins(lock).values())) > 100
    assert all(re.fullmatch(r"==[\w.]+", str(each.specifier)) for each, _ in locked)
    everything = [digest for _, hashes in locked for digest in hashes]
    assert len(everything) == len(set(everything))


@each_lock
def test_a_lock_names_no_index_no_address_and_no_file(lock: str) -> None:
    lines = [line for line in lock.splitlines() if not line.lstrip().startswith("#")]
    assert not [line for line in lines if re.match(r"-|\s+--(?!hash=sha256:)", line)]
    assert not [line for line in lines if re.search(r"://| @ |\.whl|/", line)]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda each: "-".join(each.values()))
def test_a_lock_holds_what_the_short_files_ask_for(environment: dict[str, str]) -> None:
    runtime = chosen([each for each, _ in entries(RUNTIME)], environment)
    dev = chosen([each for each, _ in entries(DEV)], environment)
    assert chosen(wanted("requirements.in"), environment).items() <= runtime.items()
    assert chosen(wanted("requirements-dev.in"), environment).items() <= dev.items()
    assert runtime.items() <= dev.items(), "the server runs with other versions than the tests"


def test_the_short_files_are_plain_lists_of_pins() -> None:
    """So that packaging tools can read them."""
    for name in ("requirements.in", "requirements-dev.in"):
        assert all(re.fullmatch(r"==[\w.]+", str(each.specifier)) for each in wanted(name))


def test_the_hashes_are_those_of_every_platform() -> None:
    """A lock made from a mirror with one platform's files would install nowhere else."""
    files = {each.name: len(hashes) for each, hashes in entries(RUNTIME)}
    python = ["3.10", "3.11", "3.12", "3.13"]
    for compiled in ("numpy", "scipy", "pandas", "pillow", "torch"):
        assert files[compiled] > 2 * len(python), compiled


# The CPU builds of torch


def needs(name: str) -> set[str]:
    """What an installed package requires here; nothing, if it isn't installed."""
    try:
        required = [Requirement(each) for each in requires(name) or []]
    except PackageNotFoundError:
        return set()
    here = [each for each in required if applies(each.marker, {"extra": ""})]
    return {canonicalize_name(each.name) for each in here}


@each_lock
def test_without_cuda_nothing_goes_that_anything_but_torch_needs(lock: str) -> None:
    left = pins(without_cuda(lock))
    gone = set(pins(lock)) - set(left)
    assert {"triton", "nvidia-cublas", "cuda-toolkit"} <= gone
    assert {"torch", "torchvision", "numpy"} <= set(left)
    assert [name for name in left if name != "torch" and needs(name) & gone] == []
    assert entries(without_cuda(lock)) == [each for each in entries(lock) if each[0].name in left]


def wheel(folder: Path, name: str, release: str) -> str:
    """A wheel without contents; its SHA-256."""
    file = folder / name / f"{name}-{release}-py3-none-any.whl"
    file.parent.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{release}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    page = "".join(f'<a href="{each.name}">{each.name}</a>' for each in file.parent.glob("*.whl"))
    (file.parent / "index.html").write_text(page, "utf-8")
    return sha256(file.read_bytes()).hexdigest()


def lock_of(**hashes: str) -> str:
    return "".join(
        f"{name.replace('_', '-')}==1.0 \\\n    --hash=sha256:{digest}\n    # via bogv\n"
        for name, digest in hashes.items()
    )


@pytest.fixture(scope="module")
def empty_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip alone, to be copied: making one takes seconds."""
    folder = tmp_path_factory.mktemp("empty") / "environment"
    venv.create(folder, with_pip=True)
    return folder


def install(empty: Path, folder: Path, lock: str, **environment: str) -> tuple[int, list[str]]:
    """Run `tools/install.py` in a fresh environment whose only index is `folder`.

    Returns its exit code, and the distributions that are installed afterwards.
    """
    path = folder / "requirements.txt"
    path.write_text(lock, "utf-8")
    fresh = folder / "environment"
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(empty, fresh, symlinks=True)
    python = fresh / "bin" / "python"
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    mine |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": (folder / "index").as_uri()}
    mine |= {"PIP_NO_CACHE_DIR": "1", "TORCH_INDEX_URL": ""}
    done = subprocess.run(
        [str(python), str(ROOT / "tools" / "install.py"), str(path)],
        env=mine | environment,
        capture_output=True,
        check=False,
    )
    there = distributions(path=[str(each) for each in fresh.glob("lib/*/site-packages")])
    found = sorted(f"{each.name}=={each.version}" for each in there)
    return done.returncode, [each for each in found if not each.startswith(("pip=", "setuptools="))]


def test_a_file_that_is_not_the_locked_one_is_not_installed(
    tmp_path: Path, empty_environment: Path
) -> None:
    good = wheel(tmp_path / "index", "torch", "1.0")
    assert install(empty_environment, tmp_path, lock_of(torch=good)) == (0, ["torch==1.0"])
    code, there = install(empty_environment, tmp_path, lock_of(torch="0" * 64))
    assert code != 0
    assert there == []


def test_the_cpu_builds_stay_and_bring_nothing_for_nvidia(
    tmp_path: Path, empty_environment: Path
) -> None:
    digests = {
        name: wheel(tmp_path / "index", name, "1.0")
        for name in ("torch", "torchvision", "nvidia_cublas", "triton", "numpy")
    }
    for name in ("torch", "torchvision"):
        wheel(tmp_path / "cpu", name, "1.0+cpu")
    cpu = (tmp_path / "cpu").as_uri()
    code, there = install(empty_environment, tmp_path, lock_of(**digests), TORCH_INDEX_URL=cpu)
    assert (code, there) == (0, ["numpy==1.0", "torch==1.0+cpu", "torchvision==1.0+cpu"])

    lock = lock_of(**digests | {"numpy": "0" * 64})
    code, there = install(empty_environment, tmp_path, lock, TORCH_INDEX_URL=cpu)
    assert code != 0, "all but torch's own are checked"
    assert "numpy==1.0" not in there


# Licences


def test_the_page_of_licences_is_in_step_with_the_lock() -> None:
    page = PAGE.read_text("utf-8")
    listed = {name: versions.split(", ") for name, (versions, _) in rows(page).items()}
    assert listed == pins(RUNTIME)
    assert all(licence for _, licence in rows(page).values())
    for name, versions in listed.items():
        with suppress(PackageNotFoundError):
            if versions == [version(name)]:  # others may say it in other words
                assert rows(page)[name][1] == installed_licence(name), "run make licences"


def test_the_table_is_written_anew_from_what_is_installed_and_what_was_known() -> None:
    page = f"# Title\n\n{HEAD}| colorless | 1.0 | WTFPL |\n| fastapi | 0 | wrong |\n"
    lock = "colorless==2.0 \\\nfastapi==1.0 ; python_version < '4' \\\nfastapi==2.0 \\\n"
    assert table(lock, page) == "| colorless | 2.0 | WTFPL |\n| fastapi | 1.0, 2.0 | MIT |\n"


def test_a_licence_is_what_the_package_says() -> None:
    assert installed_licence("fastapi") == "MIT"  # an SPDX expression
    assert installed_licence("httpx") == "BSD-3-Clause"  # free text
    assert installed_licence("scipy") == "BSD License"  # a classifier, beside the whole licence
    assert installed_licence("no-such-package") is None


def test_a_package_of_which_nobody_knows_the_licence_is_an_error() -> None:
    with pytest.raises(LookupError, match="no-such-package"):
        table("no-such-package==1.0 \\\n", "")


def test_every_image_of_compose_is_on_the_page() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    images = re.findall(r"^    image: (\S+)", text, re.MULTILINE)
    assert len(images) == 4
    for image in images:
        assert f"| {image} |" in PAGE.read_text("utf-8")
