# Everything runs in a virtual environment of its own, which the first target makes: some minutes, and 3 GB. Python >= 3.11
# is all that it needs. The times are those of 2 cores.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SOURCES := $(CURDIR)/protocol:$(CURDIR)/adapters:$(CURDIR)/conformance_tests
# Keras takes it from here, or from a file of its own: its adapter is for PyTorch.
export KERAS_BACKEND := torch
# Hundreds of the tests start a process. Each would compile our modules, and pytest's rewritten ones, from their source.
unexport PYTHONDONTWRITEBYTECODE
# And Hypothesis would load Trio and pytest in each, for a plugin of Trio, which is there because of Selenium.
export HYPOTHESIS_NO_PLUGINS := 1
PYTHONS ?= python3.11 python3.12 python3.13
WITHOUT_TORCH := protocol/tests conformance_tests/tests $(addprefix adapters/tests/,export hub scopes sharing sinks top)
QUICK := protocol/tests conformance_tests/tests/test_judges.py $(addprefix adapters/tests/,hub test_adapter.py)
# pyright takes the packages of whatever `python` comes first.
PYRIGHT := PATH="$(CURDIR)/$(BIN):$$PATH" pyright

.PHONY: help check test quick lint types mypy pyright unit gpu bench bench-gpu soak schedules docs adapters libraries trackers lowest pythons killers kit-quality nightly clean

help:                                  ## show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# mmengine is loaded once: its yapf writes a file the first time, and two processes that do so at once read half of it.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	$(BIN)/python -m pip check
	$(BIN)/python -c 'import mmengine'
	touch $@

check: $(STAMP)                        ## train on real data under two runners, then put both and the hub to the test (1 min)
	$(BIN)/python docs/examples/digits/train_pytorch.py
	$(BIN)/python docs/examples/digits/train_mmengine.py
	$(BIN)/runtimeinfo check \
	    runtimeinfo_conformance.subjects.pytorch:subject \
	    runtimeinfo_conformance.subjects.mmengine:subject \
	    runtimeinfo_conformance.subjects.reference_hub:subject

test: lint types unit                  ## everything that has to hold before a commit: lint, types, unit (16 min on 2 cores)

quick: $(STAMP)                        ## ruff, and the tests of the protocol, the hub and the judges (under a minute)
	$(BIN)/ruff check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses 2 --dist worksteal -m 'not slow' $(QUICK)

lint: $(STAMP)                         ## ruff, and which package may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)                        ## mypy strict, pyright strict, and complete public types (1 min)
	$(MAKE) --no-print-directory --jobs 2 --output-sync mypy pyright

mypy: $(STAMP)
	$(BIN)/mypy

pyright: $(STAMP)
	$(PYRIGHT)
	$(PYRIGHT) --ignoreexternal --verifytypes runtimeinfo
	$(PYRIGHT) --ignoreexternal --verifytypes runtimeinfo_adapters
	$(PYRIGHT) --ignoreexternal --verifytypes runtimeinfo_conformance

# One thread per process, or they compete for the cores. A third process works while tests in the others wait.
unit: $(STAMP)                         ## the tests, and the examples in the docstrings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist worksteal
	$(BIN)/python -m pytest --doctest-modules protocol/runtimeinfo adapters/runtimeinfo_adapters \
	    conformance_tests/runtimeinfo_conformance

# Neither makes an environment: PyTorch for the GPU of this machine has to be there. NumPy and pytest are all else that is
# needed; tests of a framework that is missing are skipped, with the reason.
gpu:                                   ## the tests that need a GPU, with the packages of PYTHON; say PYTHON=... for another one
	PYTHONPATH="$(SOURCES)" $(PYTHON) benchmarks/versions.py
	PYTHONPATH="$(SOURCES)" $(PYTHON) -m pytest -m gpu -rs $$(grep -rl --include='*.py' 'mark.gpu' protocol/tests adapters/tests)

bench-gpu:                             ## what values on a device cost, with the packages of PYTHON; on a GPU it writes docs/performance.md (4 min)
	PYTHONPATH="$(SOURCES)" $(PYTHON) benchmarks/device.py $$($(PYTHON) -c 'import torch; print("--write" if torch.cuda.is_available() else "")')

bench: $(STAMP)                        ## us and the peers in one run, with BASE=<commit> its adapters too; writes docs/performance.md, README.md, docs/cost.svg
	$(BIN)/python benchmarks/run.py --write $(if $(BASE),--base $(BASE))
	$(if $(BASE),$(BIN)/python benchmarks/watching.py --write --base $(BASE))
	$(MAKE) --no-print-directory bench-gpu PYTHON=$(BIN)/python

soak: $(STAMP)                         ## ten million iterations through hook and hub; writes docs/soak.md
	$(BIN)/python benchmarks/soak.py --write

schedules: $(STAMP)                    ## 10,000 random schedules of trainings in one process; writes docs/schedules.md (15 min)
	OMP_NUM_THREADS=1 $(BIN)/python adapters/tests/scopes/schedules.py --count 10000 --write

docs: $(STAMP)                         ## write docs/spec.md and all else that is generated, and build the site into docs/_build (1 min)
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build

adapters: $(STAMP)                     ## put every adapter and hub to the test; writes docs/adapters.md, its badge and the end of docs/differences.md (2 min)
	$(BIN)/python docs/adapters_matrix.py
	$(BIN)/python docs/hub_rules.py

libraries: $(STAMP)                    ## train with the libraries that people use, each in an environment of its own (30 GB); writes docs/libraries.md (20 min)
	$(BIN)/python libraries/run.py --write

trackers:                              ## try the sinks of MLflow and W&B, in an environment of its own (350 MB, 3 min)
	$(PYTHON) -m venv .trackers
	.trackers/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[mlflow,wandb,conformance]'
	.trackers/bin/python -m pytest --quiet adapters/tests/sinks/test_mlflow_sink.py adapters/tests/sinks/test_wandb_sink.py

lowest: $(STAMP)                       ## try each adapter with the lowest versions that it claims, each in an environment of its own
	$(BIN)/python adapters/tests/lowest_versions.py

pythons:                               ## what does without PyTorch, on each Python of PYTHONS, in an environment of its own (10 min each)
	for python in $(PYTHONS); do \
	    echo "with $$python:" && $$python -m venv .pythons/$$python && \
	    .pythons/$$python/bin/python -m pip install --quiet --upgrade pip && \
	    .pythons/$$python/bin/python -m pip install --quiet --constraint constraints.txt --editable . --group pythons && \
	    PATH="$(CURDIR)/.pythons/$$python/bin:$$PATH" .pythons/$$python/bin/python -m pytest --quiet $(WITHOUT_TORCH) || exit; \
	done

killers: $(STAMP)                      ## write the smallest plan that shows each mutant, and the plans that cover all values (2 min)
	$(BIN)/python conformance_tests/quality/write_killers.py
	$(BIN)/python conformance_tests/quality/write_covering.py

kit-quality: $(STAMP)                  ## how far the kit can be trusted; writes docs/kit-quality.md and docs/perturbations.md (40 min)
	$(BIN)/python conformance_tests/quality/run.py --write
	$(BIN)/python conformance_tests/quality/perturbations.py --write

nightly: $(STAMP)                      ## the long searches: millions of reads, 100,000 broken boards, 10,000 plans, and each plan for each fault
	RUNTIMEINFO_READS=10000000 RUNTIMEINFO_MUTATED_BOARDS=100000 RUNTIMEINFO_WRITES_TO_BOARDS=10000 $(BIN)/python -m pytest \
	    adapters/tests/sharing/test_full_speed.py adapters/tests/sharing/test_hostile.py adapters/tests/sharing/test_writer_fuzz.py
	RUNTIMEINFO_EVERY_PLAN=1 $(BIN)/python -m pytest conformance_tests/tests/test_mutants.py
	$(BIN)/python conformance_tests/quality/run.py --good 10000
	$(BIN)/python conformance_tests/quality/perturbations.py
	$(MAKE) trackers

clean:                                 ## remove the environment and what tools leave behind
	rm -rf $(VENV) .trackers build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
