# Two commands on a fresh Debian machine: `make demo` and `make test`. Both set up what is missing.

# The first that runs: a name on the PATH may be a launcher without an interpreter behind it.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c "" >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
JOBS ?= 2
PYTEST_ARGS ?=

.PHONY: help setup demo test lint docs wheel clean

help:
	@echo "make demo   set up, then speech through emulated firmware, with a report"
	@echo "make test   set up, then ruff, mypy and all tests"
	@echo "make setup  only the set-up: system packages, $(VENV), CMSIS sources"
	@echo "make docs   set up, then the documentation as a site: out/site/index.html"
	@echo "make wheel  dist/*.whl"
	@echo "make clean  remove what was made here, but $(VENV)"

# The sources are looked for each time: they lie in a cache that other checkouts share and may empty.
setup: $(VENV)/.packages
	@$(VENV)/bin/python -c "from tinydsn.codegen.cmsis import fetch_cmsis; fetch_cmsis()"

$(VENV)/.system: tools/system-packages.sh
	@test -n "$(PYTHON)" || { echo "error: no python3 on the PATH (3.11 to 3.13 is needed)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
		{ echo "error: $(PYTHON) is not 3.11, 3.12 or 3.13; name one: make PYTHON=python3.11" >&2; exit 1; }
	tools/system-packages.sh $(PYTHON)
	$(VENV)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.packages: $(VENV)/.system pyproject.toml constraints.txt
	$(VENV)/bin/pip install --disable-pip-version-check -q -c constraints.txt -e '.[metrics,oracle,pictures,docs,keywords,dev]'
	touch $@

demo: setup
	$(VENV)/bin/tinydsn demo

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy tinydsn quant

test: lint
	$(VENV)/bin/pytest -q -n $(JOBS) $(PYTEST_ARGS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

wheel: setup
	$(VENV)/bin/python -m build --wheel --outdir dist

clean:
	rm -rf build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
