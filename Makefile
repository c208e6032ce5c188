PYTHON ?= python3
VENV := .venv
UPSTREAM := .venv-upstream
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# uv, where there is one, takes half the time.
PIP = $(if $(shell command -v uv),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile)
WATCH = $(shell $(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')

# Tests start many processes: each that has to compile what it imports takes 8 s longer.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test coverage test-slow test-upstream lint docs clean

setup: $(STAMP)

# --no-deps: requirements.txt is complete, and keeps opencv-python (which needs libGL) out.
$(STAMP): requirements.txt
	@echo "installing into $(VENV) ..."; date +%s > .setup-start
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-deps -r requirements.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@echo "installed in $$(( $$(date +%s) - $$(cat .setup-start) )) s, $$(du -sh $(VENV) | cut -f1)"; rm -f .setup-start
	@touch $@

demo: setup
	$(BIN)/python tools/demo.py

# Tests that open onnxruntime and OpenVINO run in processes of their own: after those of
# tests/deploy/test_runtime.py a process dies where a loading process starts (memory is damaged by
# one of the native libraries; which one is not known).
RUNTIMES = tests/benchmarks tests/deploy tests/extending tests/graphs tests/tools/test_export.py

test: setup
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" $(RUNTIMES:%=--ignore=%)
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" $(RUNTIMES)

# The same tests, up to a third slower on Python 3.11; 3.12 has a cheaper way to watch lines.
coverage: setup
	$(BIN)/coverage erase
	COVERAGE_CORE=$(WATCH) $(BIN)/coverage run -m pytest -q -n 2 --dist loadfile -m "not slow" $(RUNTIMES:%=--ignore=%)
	COVERAGE_CORE=$(WATCH) $(BIN)/coverage run -m pytest -q -n 2 --dist loadfile -m "not slow" $(RUNTIMES)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-slow: setup
	$(BIN)/python -m pytest -q -m slow

# Integration tests on the last original releases of OpenMMLab, in an environment of their own.
test-upstream: $(UPSTREAM)/.installed
	OMP_NUM_THREADS=1 $(UPSTREAM)/bin/python -m pytest -q -m "integration and not slow"

$(UPSTREAM)/.installed: requirements.txt requirements-upstream.txt
	$(PYTHON) -m venv $(UPSTREAM)
	grep -v '^onedl-' requirements.txt > $(UPSTREAM)/requirements.txt
	$(UPSTREAM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile -r $(UPSTREAM)/requirements.txt -r requirements-upstream.txt
	@touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

# The picture of the architecture and the API page, from the source.
docs: setup
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) .venv-upstream build *.egg-info
