# make demo | test | check | coverage | soak | lock | notebooks. PYTHON names the interpreter (3.10 to 3.13), VENV the folder.
PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/
# Two workers more than there are cores, since tests wait for servers; no more than memory has room
# for: each takes 1.5 GB.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
PARALLEL := -n $(WORKERS) --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# Where an environment forbids it, each of some two hundred processes compiles bogv anew.
test coverage soak: export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check coverage soak format lock licences notebooks clean

demo: $(VENV)/requirements.txt
	$(IN_VENV)python -m bogv demo $(if $(IMAGES),--images "$(IMAGES)")

test: $(VENV)/requirements-dev.txt
	$(IN_VENV)python -m pytest $(PARALLEL)

check: $(VENV)/requirements-dev.txt
	$(IN_VENV)ruff format --check .
	$(IN_VENV)ruff check .
	$(IN_VENV)mypy
	$(MAKE) test

# The same tests; fails where they run too few of the lines (pyproject.toml).
coverage: $(VENV)/requirements-dev.txt
	$(IN_VENV)python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered

# At most ten minutes: faults, load and damaged images, on and on (docs/reliability.md).
soak: $(VENV)/requirements-dev.txt
	$(IN_VENV)python -m pytest -m soak

format: $(VENV)/requirements-dev.txt
	$(IN_VENV)ruff format .
	$(IN_VENV)ruff check --fix .

# For every Python and system at once, with the hashes of all of PyPI's files. What is pinned stays,
# unless UPGRADE=1. The server gets the versions that the tests run with.
LOCK := $(IN_VENV)uv pip compile --quiet --no-config --default-index https://pypi.org/simple --universal \
	--python-version 3.10 --generate-hashes --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
lock: $(VENV)/requirements-dev.txt
	$(LOCK) requirements.in requirements-dev.in --output-file requirements-dev.txt
	$(LOCK) requirements.in --constraints requirements-dev.txt --output-file requirements.txt
	$(MAKE) licences

licences: $(VENV)/requirements-dev.txt
	$(IN_VENV)python tools/licences.py

# Runs both anew and keeps their output, made with untrained weights.
notebooks: $(VENV)/requirements-dev.txt
	$(IN_VENV)python -m tools.notebooks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A copy of the file that was installed tells make when there is a newer one.
$(VENV)/%.txt: %.txt | $(VENV)/bin/python
	$(IN_VENV)python tools/install.py $<
	cp $< $@
