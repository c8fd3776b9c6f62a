# From a fresh clone each target first installs what it needs; a second call finds the stamp files
# in .venv and node_modules and starts at once. Only .venv, node_modules and var are written to.

VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.runtime-installed
TOOLS := $(VENV)/.tools-installed
NODE := node_modules/.installed

# Where this is set each of the many processes that tests start compiles all it imports anew.
unexport PYTHONDONTWRITEBYTECODE

# Further arguments for pytest, the benchmarks or the server: make test ARGS='-k resume'
ARGS ?=

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help run test lint bench soak docs clean

help:
	@echo "make run     start the server with a demo project (honours RT_HOST, RT_PORT, RT_DATA_DIR)"
	@echo "make test    run the whole test suite on a real MongoDB"
	@echo "make lint    check formatting, lint and types"
	@echo "make bench   run the benchmarks"
	@echo "make soak    run the long tests (SOAK_S: seconds of the memory soak, 600)"
	@echo "make docs    write docs/settings.md and docs/audit.md anew"
	@echo "make clean   remove what was installed and cached here; data in var/ stays"

run: $(RUNTIME) $(NODE)
	@exec $(PY) -m rtserver serve --demo $(ARGS)

# One file at a time in each of JOBS processes, and two more of these than there are processors,
# since tests wait a lot. In the order of their names, which begins with the long ones.
# A file with a failure is tried once more, and what passed only then is named at the end.
JOBS ?= $(shell echo $$(($$(nproc) + 2)))
test: $(TOOLS) $(NODE)
	$(PY) -m tests.second_try -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(TOOLS)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(TOOLS)
	$(PY) -m bench $(ARGS)

# A later -m wins over the one in pyproject.toml, which leaves these tests out.
soak: $(TOOLS) $(NODE)
	$(PY) -m pytest -m soak $(ARGS)

# Through a file of its own, so that a failure leaves the old text in place.
docs: $(RUNTIME)
	@$(PY) -m rtserver.config.settings_doc > docs/settings.md.new
	@mv docs/settings.md.new docs/settings.md
	@$(PY) -m rtserver.audit.record.doc > docs/audit.md.new
	@mv docs/audit.md.new docs/audit.md
	@echo "Wrote docs/settings.md and docs/audit.md"

clean:
	rm -rf $(VENV) node_modules bench/build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find bench handlers rtserver store tests -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last that venv makes: where it is missing, so may be anything else.
$(VENV)/bin/pip:
	@for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making a virtual environment in $(VENV) with $$("$$candidate" --version) ..."; \
	    "$$candidate" -m venv $(VENV) && exit 0; \
	    echo "That failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; \
	echo "Python 3.11 or newer is needed, and none was found. Install it, or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(RUNTIME): requirements.txt requirements-dev.txt | $(VENV)/bin/pip
	@echo "Installing the server's Python packages into $(VENV); the first time takes a minute or two ..."
	@$(PIP_INSTALL) -r requirements.txt -c requirements-dev.txt
	@touch $@

$(TOOLS): requirements.txt requirements-dev.txt | $(VENV)/bin/pip
	@echo "Installing the Python packages of server, tests and linters into $(VENV); the first time takes a few minutes ..."
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $(RUNTIME) $@

# The server runs without these, so a machine without Node.js is told what it goes without, each
# time, and nothing stops.
$(NODE): package.json package-lock.json
	@if node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
	  && command -v npm >/dev/null; then \
	  echo "Installing the OpenSpec validator and the SockJS client into node_modules ..."; \
	  npm ci --no-audit --no-fund --loglevel=error && touch $@; \
	else \
	  echo "Note: Node.js 20.19 or newer with npm was not found. Without it there is no OpenSpec validator"; \
	  echo "      and no SockJS client: validations end in an error, /legacy does not work, and the tests"; \
	  echo "      of both are skipped."; \
	fi
