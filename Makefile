# make demo | make test | make check | make soak. PYTHON names the interpreter (3.10 to 3.13), VENV the folder.
PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/

.PHONY: demo test check soak format clean

demo: $(VENV)/requirements.txt
	$(IN_VENV)python -m bogv demo $(if $(IMAGES),--images "$(IMAGES)")

test: $(VENV)/requirements-dev.txt
	$(IN_VENV)python -m pytest

check: $(VENV)/requirements-dev.txt
	$(IN_VENV)ruff format --check .
	$(IN_VENV)ruff check .
	$(IN_VENV)mypy
	$(MAKE) test

# At most ten minutes: faults, load and damaged images, on and on (docs/reliability.md).
soak: $(VENV)/requirements-dev.txt
	$(IN_VENV)python -m pytest -m soak

format: $(VENV)/requirements-dev.txt
	$(IN_VENV)ruff format .
	$(IN_VENV)ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# A copy of the file that was installed tells make when there is a newer one.
$(VENV)/%.txt: %.txt requirements.txt | $(VENV)/bin/python
	$(IN_VENV)python -m pip install --disable-pip-version-check -r $<
	cp $< $@
