# `make` alone prints this help. Needs Python 3.11 or later, make, and the package index; everything lives in .venv.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# The newest Python on the path that will do; name another with `make demo PYTHON=/path/to/python`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
RECIPE := pyproject.toml constraints.txt
ARGS ?=

.PHONY: help demo test lint format types contracts slow browser screenshots fault kills coverage examples clean \
	bench-demo bench-gate bench-spin bench-startup bench-live bench-redaction bench-ingest bench-proxy bench-recorder bench \
	bench-alarms bench-nab bench-slices bench-streams bench-templates bench-sentiment bench-causes bench-label-errors bench-modes bench-discovery bench-augmentation bench-label-weights bench-outside bench-text-learner bench-drift bench-web bench-observe bench-diagnose bench-flywheel

help: ## Show this help
	@echo "Flywheel. make <target>, where <target> is one of:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## Watch a model learn from its own failures (ARGS="--spins 3")
	@$(BIN)/flywheel demo $(ARGS)

test: $(VENV)/dev.stamp ## Run the quick tests, doctests included (ARGS="tests/store")
	@$(BIN)/python -m pytest -n auto -m "not slow and not fault" $(ARGS)

slow: $(VENV)/dev.stamp ## Run the tests that take more than a few seconds
	@$(BIN)/python -m pytest -n auto -m "slow and not browser" $(ARGS)

browser: $(VENV)/dev.stamp ## Try the dashboard in a real browser, each file in a process of its own
	@set -e; for file in tests/web/test_*.py; do \
		$(BIN)/python -m pytest -q -m browser $$file $(ARGS) || test $$? -eq 5; done  # 5: no such test in this file

screenshots: $(VENV)/dev.stamp ## Take a picture of every page of the dashboard, light and dark, wide and narrow, into screenshots/
	@$(BIN)/python docs/screenshots.py --wheel docs/pictures/wheel.png $(ARGS)

fault: $(VENV)/dev.stamp ## Kill, cut the power, fill the disk, cut connections; what is acknowledged must be there
	@FLYWHEEL_FAULT_AWAY=$${FLYWHEEL_FAULT_AWAY:-60} $(BIN)/python -m pytest -m "fault and not slow" $(ARGS)

kills: $(VENV)/dev.stamp ## Kill logging and spinning at 200 random moments (ARGS="-k …")
	@FLYWHEEL_FAULT_KILLS=200 $(BIN)/python -m pytest tests/fault $(ARGS)

coverage: $(VENV)/dev.stamp ## Run the quick tests and say which lines they miss
	@$(BIN)/python -m pytest -n auto -m "not slow and not fault" --cov --cov-report=term:skip-covered $(ARGS)

lint: $(VENV)/dev.stamp ## Check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(VENV)/dev.stamp ## Mend style and format where that needs no thought
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(VENV)/dev.stamp ## Check types, strictly
	@$(BIN)/mypy

contracts: $(VENV)/dev.stamp ## Check that the rooms only import in one direction
	@$(BIN)/lint-imports

examples: $(VENV)/dev.stamp ## Run the chatbot example, shortened, and the dialect example
	@$(BIN)/python examples/chatbot/chatbot.py --spins 2
	@$(BIN)/python examples/dialect/dialect.py

bench-demo: $(VENV)/demo.stamp ## Measure flywheel against random labels and a frozen model, over seeds
	@$(BIN)/python bench/demo.py $(ARGS)

bench-gate: $(VENV)/demo.stamp ## Measure how often the gate lets a sabotaged or a no-better model through
	@$(BIN)/python bench/gate.py $(ARGS)

bench-spin: $(VENV)/demo.stamp ## Measure time and memory of a spin as the log grows
	@$(BIN)/python bench/spin.py $(ARGS)

bench-redaction: $(VENV)/demo.stamp ## Measure what the redactors find, what they spare, and how fast (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/redaction.py $(ARGS)

bench-startup: $(VENV)/demo.stamp ## Measure `import flywheel` and `flywheel --help`
	@$(BIN)/python bench/startup.py $(ARGS)

bench-live: $(VENV)/dev.stamp ## Measure how soon a failure logged elsewhere is seen, and a key in Review answered (needs Chromium)
	@$(BIN)/python bench/live.py $(ARGS)

bench-ingest: $(VENV)/dev.stamp .bench-venv-ingest/made.stamp ## Measure durable records a second beside MLflow and Phoenix
	@$(BIN)/python bench/ingest.py $(ARGS)

bench-proxy: $(VENV)/dev.stamp ## Measure what the OpenAI proxy adds to a call
	@$(BIN)/python bench/proxy.py $(ARGS)

.bench-venv-ingest/made.stamp: bench/peers-ingest.txt
	@echo "Installing MLflow and Phoenix into .bench-venv-ingest (some minutes the first time) ..."
	@test -x .bench-venv-ingest/bin/python || $(PYTHON) -m venv .bench-venv-ingest
	@.bench-venv-ingest/bin/python -m pip --disable-pip-version-check --quiet install -r bench/peers-ingest.txt
	@touch $@

bench-recorder: $(VENV)/dev.stamp .bench-venv/made.stamp ## Measure what recording a call costs, beside MLflow, Langfuse and OpenTelemetry
	@$(BIN)/python bench/recorder.py $(ARGS)

.bench-venv/made.stamp: bench/peers-recorder.txt
	@echo "Installing MLflow, Langfuse and OpenTelemetry into .bench-venv (some minutes the first time) ..."
	@test -x .bench-venv/bin/python || $(PYTHON) -m venv .bench-venv
	@.bench-venv/bin/python -m pip --disable-pip-version-check --quiet install -r bench/peers-recorder.txt || \
		echo "Some could not be installed; they will be skipped" >&2
	@touch $@

.bench-venv-observe/made.stamp: bench/peers-observe.txt
	@echo "Installing Evidently, NannyML, whylogs, sliceline and drain3 into .bench-venv-observe (some minutes the first time) ..."
	@test -x .bench-venv-observe/bin/python || $(PYTHON) -m venv .bench-venv-observe
	@.bench-venv-observe/bin/python -m pip --disable-pip-version-check --quiet install -r bench/peers-observe.txt
	@touch $@

bench-alarms: $(VENV)/demo.stamp .bench-venv-observe/made.stamp ## Measure false alarms, delays, and accuracy without labels beside NannyML (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/alarms.py $(ARGS)

bench-templates: $(VENV)/demo.stamp .bench-venv-observe/made.stamp ## Measure log templates beside drain3 (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/templates.py $(ARGS)

bench-sentiment: $(VENV)/demo.stamp ## Measure sentiment against the means of human raters (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/sentiment.py $(ARGS)

bench-causes: $(VENV)/demo.stamp ## Measure whether the cause that is named is the one that was put there (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/causes.py $(ARGS)

bench-label-errors: $(VENV)/demo.stamp ## Measure which label errors are found, beside cleanlab and people (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/label_errors.py $(ARGS)

bench-modes: $(VENV)/demo.stamp ## Measure failure modes against known intents, beside KMeans and HDBSCAN (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/modes.py $(ARGS)

bench-augmentation: $(VENV)/dev.stamp ## Measure what synthetic examples are worth, and how often they are let in for nothing (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/augmentation.py $(ARGS)

bench-label-weights: $(VENV)/dev.stamp ## Measure whether labels should weigh by propensity, and what doubted ones are worth (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/label_weights.py $(ARGS)

bench-outside: $(VENV)/dev.stamp ## Measure whether Mahalanobis distance helps to tell what is out of scope (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/outside_distances.py $(ARGS)

bench-discovery: $(VENV)/dev.stamp ## Measure how soon new classes are met, and what one decision for a group is worth (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/discovery.py $(ARGS)

bench-slices: $(VENV)/dev.stamp .bench-venv-observe/made.stamp ## Measure slices: exact, fast, found, quiet, beside sliceline (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/slices.py $(ARGS)

bench-text-learner: $(VENV)/demo.stamp ## Measure the text learner: accuracy, out of scope, calibration, time of a spin (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/text_learner.py $(ARGS)

bench-nab: $(VENV)/dev.stamp ## Measure the anomaly detector on the Numenta Anomaly Benchmark (needs FLYWHEEL_DATA)
	@$(BIN)/python bench/nab.py $(ARGS)

bench-streams: $(VENV)/dev.stamp ## Measure false alarms and power of anomalies on made-up streams
	@$(BIN)/python bench/anomaly_streams.py $(ARGS)

bench-drift: $(VENV)/dev.stamp .bench-venv-observe/made.stamp ## Measure drift reports and the overview, beside Evidently, whylogs and NannyML
	@$(BIN)/python bench/drift.py $(ARGS)

bench-web: $(VENV)/dev.stamp ## Measure the dashboard over ten million interactions (ARGS="--interactions 100000" for a quick look)
	@$(BIN)/python bench/web.py $(ARGS)

bench-flywheel: $(VENV)/dev.stamp ## Play FlywheelBench: every arm on every stream, 20 seeds; then the tables and the picture (hours; needs FLYWHEEL_DATA)
	@$(BIN)/python bench/flywheelbench/run.py $(ARGS) && $(BIN)/python bench/flywheelbench/report.py && \
		$(BIN)/python bench/flywheelbench/picture.py

bench-observe: bench-alarms bench-nab bench-slices bench-streams bench-templates bench-drift ## Measure drift, performance without labels, slices, anomalies and log templates, beside peers

bench-diagnose: bench-sentiment bench-causes bench-label-errors bench-modes ## Measure causes, label errors, sentiment and failure modes, beside peers

bench: bench-startup bench-gate bench-demo bench-spin ## Run every benchmark

clean: ## Remove the environment, caches and what demos left
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage* \
		build dist flywheel-demo screenshots
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment: made once, and again only when what it is made from has changed ---

$(VENV)/made.stamp:
	@test -n "$(PYTHON)" || { echo "Flywheel needs Python 3.11 or later. Install it, or run make with PYTHON=/path/to/it" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo.stamp: $(VENV)/made.stamp $(RECIPE)
	@echo "Installing Flywheel (a minute or two the first time) ..."
	@$(PIP) install -c constraints.txt -e ".[examples]"
	@touch $@

$(VENV)/dev.stamp: $(VENV)/made.stamp $(RECIPE)
	@echo "Installing Flywheel and what its tests need (a minute or two the first time) ..."
	@$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/demo.stamp
