# Every target does its own set-up in .venv, from nothing, and may be repeated.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DEMO ?= demo

.DEFAULT_GOAL := help
.PHONY: help env demo test test-slow check mutants fuzz audit oldest format bench docs package clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

env: $(READY)  ## create .venv with everything the other targets need

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(READY)

demo: env  ## compare constant with stochastic depth and write demo/report.html (DATA=folder with CIFAR-10)
	$(BIN)/sdepth compare $(if $(DATA),--recipe demo_cifar10 --data.data_dir $(DATA),--recipe demo_digits) --out $(DEMO)

test: env  ## run the tests, doctests included, in two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-slow: env  ## run the tests that take longer than a minute each
	$(BIN)/python -m pytest -m slow --timeout 3600

check: env  ## format, lint, types, import layers, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

mutants: env  ## change the core one operator at a time and count the changes that no test notices (hours)
	$(BIN)/python -m pip install --quiet --upgrade 'mutmut>=3.3'
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

fuzz: env  ## give the program thousands of recipes, files and arguments that nobody should (an hour)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/hostile.py --recipes 8000 --seed $$(date +%j)

audit: env  ## look the installed dependencies up among known vulnerabilities
	$(BIN)/python -m pip install --quiet --upgrade pip-audit
	$(BIN)/python -m pip_audit --local --skip-editable

OLDEST := .venv-oldest

oldest:  ## run the tests with the oldest dependencies that the metadata allows
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --upgrade pip uv
	$(OLDEST)/bin/python -m uv pip install --quiet --resolution lowest-direct --editable '.[dev]'
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest -m "not slow" -n 2 --dist loadfile

format: env  ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: env  ## measure again what the README states (an idle machine, 50 minutes; DATA=folder with CIFAR-10)
	$(BIN)/sdepth bench --rounds 21 --json benchmarks/results/step.json
	$(BIN)/python benchmarks/models_step.py --rounds 11 --json benchmarks/results/models_step.json
	$(BIN)/python benchmarks/training_overhead.py --json benchmarks/results/training_overhead.json
	$(BIN)/sdepth compare --recipe demo_digits --seeds 5 --out runs/digits --json benchmarks/results/digits.json
	$(if $(DATA),$(BIN)/sdepth compare --recipe demo_cifar10 --data.data_dir $(DATA) --seeds 5 --out runs/cifar10 --json benchmarks/results/cifar10.json)
	$(if $(DATA),$(BIN)/sdepth compare --recipe demo_cifar10 --data.data_dir $(DATA) --seeds 5 --flip --out runs/cifar10-flip --json benchmarks/results/cifar10-flip.json)
	$(BIN)/sdepth report runs/digits --figures runs/figures
	cp runs/figures/gates-stochastic.svg docs/assets/gates.svg
	cp runs/figures/passes-stochastic.svg docs/assets/passes.svg
	cp runs/figures/depth.svg docs/assets/depth.svg
	$(BIN)/python benchmarks/readme.py
	$(BIN)/python benchmarks/claims.py

docs: env  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

EMPTY := .venv-empty

package: env  ## build the wheel and the sdist, and try the program of each in an empty environment
	$(BIN)/python -m pip install --quiet --upgrade build
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	for built in dist/*.whl dist/*.tar.gz; do \
	  rm -rf $(EMPTY) && $(PYTHON) -m venv $(EMPTY) && \
	  $(EMPTY)/bin/python -m pip install --quiet "$$built[all]" && \
	  $(EMPTY)/bin/sdepth --version && \
	  $(EMPTY)/bin/sdepth plan torchvision/resnet18 --budget 0.8 && \
	  $(EMPTY)/bin/sdepth train demo_digits --epochs 1 --out $(EMPTY)/run && \
	  $(EMPTY)/bin/sdepth report $(EMPTY)/run || exit 1; \
	done

clean:  ## remove .venv and everything that was built
	rm -rf $(VENV) $(OLDEST) $(EMPTY) mutants site build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
