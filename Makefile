# Commands for building and testing; `make help` lists them. They write to .venv and target, and Kafka and Postfix for
# the tests to the user's cache directory.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md LICENSE \
	$(shell find src python -not -name __pycache__ -not -name '*.pyc')

# The wheel, clippy and the Rust tests share one profile, one interpreter and no RUSTFLAGS. Whatever differs between
# them makes cargo compile librdkafka and OpenSSL again, which takes minutes.
CARGO_FLAGS := --release --locked
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests and examples import the installed wheel, never the source tree.
unexport PYTHONPATH

# Leaks are not errors: the rdkafka crate never gives back one queue handle of each client, 24 bytes and the queue.
VALGRIND := valgrind --quiet --error-exitcode=1 --leak-check=no

# The Rust tests are programs that embed Python.
with_libpython = LD_LIBRARY_PATH="$$($(BIN)/python scripts/libpython.py)$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}"
# Tests mostly wait, for deadlines and for servers, so there are more processes than processors. Tests of one file share one.
TEST_PROCESSES := 3

# A package of its own, which needs neither librdkafka nor Python.
HANDOVER := --manifest-path tests/handover/Cargo.toml

step = @printf '\n==> %s\n'

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(VENV)/.tools ## .venv with the tools of requirements-dev.txt (PYTHON=python3.12 for another Python)

.PHONY: build
build: $(VENV)/.wheel ## the release wheel in target/wheels, installed into .venv

.PHONY: test
test: ready lint test-rust test-python ## everything below: lint, test-rust, test-python

.PHONY: lint
lint: lint-style lint-rust lint-python ## formatting, clippy, ruff, mypy, stubs of the native module, layers

.PHONY: test-rust
test-rust: venv ## cargo test (FILTER=name for some)
	$(step) 'Rust tests'
	@$(with_libpython) \
		cargo test $(CARGO_FLAGS) $(FILTER)
	$(step) 'every order of the threads'
	@cargo test $(CARGO_FLAGS) $(HANDOVER) --target-dir target/handover

.PHONY: test-python
test-python: ready build ## pytest against the installed wheel (ARGS='-k name' for some)
	$(step) 'Python tests'
	@$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile $(ARGS)

.PHONY: test-faults
test-faults: ready build ## three Kafka nodes, killed, frozen and restarted under load: 10 minutes, 2 GB of memory
	$(step) 'Kafka fails, and events do not'
	@$(BIN)/pytest tests/faults --figures $(or $(FIGURES),target/fault-figures.md) $(ARGS)

.PHONY: test-worker
test-worker: ready build ## the delivery worker's own fault test: 100,000 events, 15 minutes, 2 GB (EVENTS=0 for 3 minutes)
	$(step) 'workers are killed, and mails are not lost'
	@$(BIN)/pytest tests/worker_faults --events $(or $(EVENTS),100000) $(ARGS)

.PHONY: test-pythons
test-pythons: ready build ## tests of processes, 200 exits of each kind, by every CPython here (RUNS=20 for less)
	$(step) 'every CPython'
	@$(BIN)/python scripts/pythons.py $(ARGS)

.PHONY: soak
soak: ready build ## half an hour of load while brokers come and go (MINUTES=5 for less); figures in target/soak
	$(step) 'soak'
	@$(BIN)/pip install -q matplotlib
	@cd tests && ../$(BIN)/python -m soak $(or $(MINUTES),30) ../target/soak

.PHONY: fuzz
fuzz: venv build ## the properties with many more examples: an hour
	$(step) 'properties of the Rust half'
	@$(with_libpython) \
		PROPTEST_CASES=5000000 cargo test $(CARGO_FLAGS) --test properties
	$(step) 'properties of the whole'
	@$(BIN)/pytest --hypothesis-profile fuzz --timeout 7200 tests/package/test_validation.py tests/package/test_life_cycle.py

.PHONY: mutants
mutants: venv build ## break the package on purpose, see which test notices: 15 minutes (ARGS=word for some of tests/mutants)
	$(step) 'mutants'
	@$(with_libpython) \
		$(BIN)/python -m scripts.mutants $(ARGS)

.PHONY: memcheck
memcheck: venv ## the Rust tests, librdkafka included, under valgrind (Debian package valgrind)
	$(step) 'memcheck'
	@command -v valgrind > /dev/null || { echo 'memcheck: valgrind is missing (Debian package valgrind)' >&2; exit 1; }
	@$(with_libpython) \
		env "CARGO_TARGET_$$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER=$(VALGRIND)" \
		cargo test $(CARGO_FLAGS) --lib -- --test-threads=1

.PHONY: demo
demo: build ## run examples/demo.py (SERVE=1 leaves its web application running)
	@SERVE=$(SERVE) $(BIN)/python examples/demo.py

.PHONY: bench
bench: build ## the benchmark, an hour: writes docs/performance.md (ARGS='--only latency' for some)
	$(step) 'benchmark'
	@$(BIN)/python -m benches $(ARGS)

.PHONY: bench-quick
bench-quick: build ## the benchmark in 5 minutes, less exact: writes nothing into docs
	$(step) 'quick benchmark'
	@$(BIN)/python -m benches --quick $(ARGS)

.PHONY: wheel
wheel: venv ## the wheel and the sdist to publish, in target/dist: built twice, every claim checked; 15 minutes
	$(step) 'wheel and source distribution'
	@$(BIN)/pip install -q --require-hashes -r scripts/distribution/requirements.txt
	@$(BIN)/python -m scripts.distribution

# What cargo-deny can tell without a database of advisories, which is not in reach of every machine.
OFFLINE_CHECKS := bans licenses sources
CARGO_DENY := target/tools/bin/cargo-deny

.PHONY: audit
audit: audit-offline ## known vulnerabilities of the crates and the Python packages; and audit-offline
	$(step) 'advisories'
	@$(CARGO_DENY) -L error --locked check advisories
	@$(BIN)/pip install -q pip-audit==2.10.1
	@$(BIN)/pip-audit --local
	@$(BIN)/pip-audit --disable-pip --require-hashes -r scripts/distribution/requirements.txt

.PHONY: audit-offline
audit-offline: venv $(CARGO_DENY) ## licences, sources and duplicates of all crates, by deny.toml
	$(step) 'cargo deny'
	@$(CARGO_DENY) -L error --locked check $(OFFLINE_CHECKS)

$(CARGO_DENY):
	$(step) 'cargo-deny, from its sources'
	@cargo install -q cargo-deny@0.20.2 --locked --root target/tools --target-dir target/tools/build

.PHONY: clean
clean: ## remove all that was built, .venv too
	rm -rf $(VENV) target .mypy_cache .pytest_cache .ruff_cache

# The parts of the above.

.PHONY: tools
tools:
	@scripts/check-tools $(PYTHON)

$(VENV)/.tools: requirements-dev.txt | tools
	$(step) 'tools into $(VENV)'
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q -r requirements-dev.txt
	@touch $@

# pip takes a wheel of an installed version for installed: the first call brings the dependencies, the second the wheel.
$(VENV)/.wheel: $(SOURCES) $(VENV)/.tools
	$(step) 'release wheel into $(VENV)'
	@rm -f target/wheels/*.whl
	@$(BIN)/maturin build $(CARGO_FLAGS) --interpreter $(BIN)/python --out target/wheels
	@$(BIN)/pip install -q target/wheels/*.whl
	@$(BIN)/pip install -q --force-reinstall --no-deps target/wheels/*.whl
	@touch $@

# Before all that takes minutes, so that a missing Java is told at once.
.PHONY: ready
ready: venv
	$(step) 'Kafka and Postfix for the tests'
	@$(BIN)/python scripts/libpython.py >/dev/null
	@cd tests && ../$(BIN)/python -m support.ready

.PHONY: lint-style
lint-style: venv
	$(step) 'formatting and ruff'
	@cargo fmt --check
	@cargo fmt --check $(HANDOVER)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

.PHONY: lint-rust
lint-rust: venv
	$(step) 'clippy'
	@cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	@cargo clippy $(CARGO_FLAGS) --all-targets $(HANDOVER) --target-dir target/handover -- -D warnings

.PHONY: lint-python
lint-python: build
	$(step) 'mypy, the stubs of the native module and the layers of the package'
	@MYPYPATH=python:tests $(BIN)/mypy --strict python tests/support tests/conftest.py $(wildcard examples)
	@$(BIN)/python -m mypy.stubtest kafka_email._core
	@$(BIN)/lint-imports --no-cache --no-logo
