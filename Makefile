# Needs Python 3.11 or newer (with venv) and GNU make; all else goes into .venv.
#
# PYTHON=…  the interpreter to build .venv with       ARGS=…  more arguments for demo, bench, and pytest in test-*

VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/causal/wire/v1/*.proto)
GENERATED := causal/wire/v1
# The folders that mypy reads; it takes a folder without a module for a mistake.
TYPED := $(foreach folder,causal services tests benchmarks,$(if $(wildcard $(folder)/*.py),$(folder)))

# A given PYTHON is taken or refused; without one the first interpreter that is new enough serves.
ifeq ($(origin PYTHON),undefined)
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
else
CANDIDATES := $(PYTHON)
endif
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Three stamps, so that demo and bench wait only for what they need. They depend on each other because two pips
# in one folder at once (make -j) would break it.
RUN_READY := $(VENV)/.ready-run
BENCH_READY := $(VENV)/.ready-bench
DEV_READY := $(VENV)/.ready-dev

CORE := not simulation and not integration

# Compiled tests are kept for the next run: without them collecting takes longer than many of the tests.
unexport PYTHONDONTWRITEBYTECODE

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DEFAULT_GOAL := help

.PHONY: help
help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(RUN_READY) ## three services over gRPC: without ordering, with it, and with the cable pulled
	@$(BIN)/causal demo $(ARGS)

.PHONY: test
test: $(DEV_READY) ## every test: core (with full branch coverage of clock and ordering), simulation, integration
	@$(MAKE) test-core
	@$(MAKE) test-simulation
	@$(MAKE) test-integration

.PHONY: test-core
# Two halves at once, one for each core; only the half that covers the pure layers pays for measuring coverage.
test-core: $(DEV_READY) ## the fast tests, with full branch coverage of clock and ordering
	@$(BIN)/python -m pytest -q -m "$(CORE)" --ignore tests/clock --ignore tests/ordering --ignore tests/observe $(ARGS) \
		>$(VENV)/core.log 2>&1 & others=$$!; \
	$(BIN)/python -m coverage run -m pytest -q -m "$(CORE)" tests/clock tests/ordering tests/observe $(ARGS) && \
	$(BIN)/python -m coverage report; pure=$$?; \
	wait $$others; others=$$?; cat $(VENV)/core.log; \
	exit $$((pure + others))

.PHONY: test-simulation
# Two halves at once: mutants, interleavings and benchmarks, and the rest.
HALF := tests/simulation/test_mutants.py tests/simulation/test_exploration.py tests/benchmarks
test-simulation: $(DEV_READY) ## the engine under a simulated network: seeds, mutants, every interleaving
	@$(BIN)/python -m pytest -m simulation $(HALF) $(ARGS) >$(VENV)/simulation.log 2>&1 & half=$$!; \
	$(BIN)/python -m pytest -m simulation $(addprefix --ignore ,$(HALF)) $(ARGS); rest=$$?; \
	wait $$half; half=$$?; cat $(VENV)/simulation.log; \
	exit $$((half + rest))

SEEDS := 0:100000

.PHONY: soak
soak: $(RUN_READY) ## many seeds on all cores up to the first that fails: make soak SEEDS=0:100000 (ARGS=--keep-going)
	@$(BIN)/python -m causal.testing.simulator --seeds $(SEEDS) $(ARGS)

.PHONY: explore
explore: $(RUN_READY) ## every interleaving of the deep scenarios, on the real engine: minutes (ARGS="NAME…" or --list)
	@$(BIN)/python -m causal.testing.exploration --deep $(ARGS)

.PHONY: test-integration
test-integration: $(DEV_READY) ## real processes over real gRPC
	$(BIN)/python -m pytest -m integration $(ARGS)

.PHONY: bench
bench: $(BENCH_READY) ## the product beside bare gRPC and JetStream; JSON in build/bench.json (ARGS="--quick --only throughput")
	@$(BIN)/python -m benchmarks $(ARGS)

.PHONY: check
check: check-lint check-types check-layers check-generated ## lint, format, types, layers, generated code

.PHONY: check-lint
check-lint: $(DEV_READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

.PHONY: check-types
check-types: $(DEV_READY)
	$(BIN)/python -m mypy $(TYPED)

.PHONY: check-layers
check-layers: $(DEV_READY)
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_surface.py

.PHONY: check-generated
check-generated: $(DEV_READY)
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(call generate,"$$fresh") && \
	if diff -ru --exclude=__init__.py --exclude=__pycache__ $(GENERATED) "$$fresh/$(GENERATED)"; \
	then echo "generated code is fresh"; \
	else echo "$(GENERATED) is not what protos/ says: run 'make proto'" >&2; exit 1; fi

.PHONY: format
format: $(DEV_READY) ## format the code and mend what ruff can mend
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

.PHONY: proto
proto: $(DEV_READY) ## generate causal/wire/v1 anew from protos/
	rm -f $(GENERATED)/*_pb2*.py $(GENERATED)/*_pb2.pyi
	@$(call generate,.)

# Only the file that has the service goes to the grpc plugin: for any other it would write an empty module.
generate = $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(1) --pyi_out=$(1) $(PROTOS) && \
	$(BIN)/python -m grpc_tools.protoc -I protos --grpc_python_out=$(1) $$(grep -l '^service ' $(PROTOS))

.PHONY: clean
clean: ## remove caches and reports, keep .venv
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* build dist
	find . -path ./$(VENV) -prune -o -type d -name __pycache__ -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## remove .venv too
	rm -rf $(VENV)

$(RUN_READY): pyproject.toml
	@if ! $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		found=; \
		for candidate in $(CANDIDATES); do \
			if $$candidate -c '$(NEW_ENOUGH)' 2>/dev/null; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$$found" ]; then \
			echo "Python 3.11 or newer is needed; tried: $(CANDIDATES). Give one: make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
		echo "making $(VENV) with $$($$found --version)"; \
		$$found -m venv --clear $(VENV) || { \
			echo "$$found -m venv failed (Debian, Ubuntu: install the package python3-venv)" >&2; exit 1; }; \
	fi
	@echo "installing what causal needs to run"
	@$(PIP) install --editable .
	@touch $@

$(BENCH_READY): $(RUN_READY) pyproject.toml
	@echo "installing what the benchmarks compare with"
	@$(PIP) install --editable '.[bench]'
	@touch $@

# The tests run the benchmarks, too.
$(DEV_READY): $(BENCH_READY) pyproject.toml
	@echo "installing what the tests and checks need"
	@$(PIP) install --editable '.[dev]'
	@touch $@
