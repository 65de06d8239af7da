# onbrand: `make demo` is the whole road in one command, `make test` all the tests.
# Both make their own virtual environment in $(VENV) the first time and reuse it after.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   := demo
DRAWN  := build/mascot

export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)
# threads sleep while they wait: src/onbrand/__main__.py
export GOMP_SPINCOUNT ?= 1000
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-again test lint smoke pretrain bench docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "onbrand needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	       "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing onbrand into $(VENV) (torch is large; the first time takes some minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(DRAWN)/.drawn: examples/draw_mascot.py | $(VENV)/.installed
	$(BIN)/python examples/draw_mascot.py $(DRAWN)
	@touch $@

demo: $(DRAWN)/.drawn  ## a mascot the base never saw, learned in stages, with a report
	@test -f $(DEMO)/brief.toml || $(BIN)/onbrand new $(DEMO) --recipe demo \
	  --brief $(DRAWN)/brief.toml --pictures $(DRAWN)/pictures --lookalikes $(DRAWN)/lookalikes
	$(BIN)/onbrand train $(DEMO) || test $$? -eq 3  # a missed gate: the report says why
	$(BIN)/onbrand generate "waving in a snowy forest" "sleeping on a sofa at night" --brand $(DEMO)
	$(BIN)/onbrand report $(DEMO) --baselines
	@echo "open $(CURDIR)/$(DEMO)/report.html"

demo-again:  ## forget the demo's brand and run it anew
	rm -rf $(DEMO) $(DRAWN)
	$(MAKE) demo

# A process for each core, a thread for each process: tiny tensors only wait for a second thread.
# A file's tests stay together, for they share what it trained; slow files (functional) come first.
test: export OMP_NUM_THREADS := 1
test: $(VENV)/.installed-dev  ## all tests
	$(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.installed-dev  ## ruff, mypy --strict, the layers between the rooms
	$(BIN)/ruff format --check src tests examples scripts
	$(BIN)/ruff check src tests examples scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

SMOKE := build/smoke
smoke: $(VENV)/.installed  ## the road from end to end with very few steps: does everything work here?
	rm -rf $(SMOKE)
	$(BIN)/python examples/draw_mascot.py $(SMOKE)/drawn --num 8 --held-out 2 --size 128
	$(BIN)/onbrand new $(SMOKE)/kuro --recipe examples/smoke.toml \
	  --brief $(SMOKE)/drawn/brief.toml --pictures $(SMOKE)/drawn/pictures \
	  --lookalikes $(SMOKE)/drawn/lookalikes
	$(BIN)/onbrand train $(SMOKE)/kuro
	$(BIN)/onbrand generate "waving on a beach" --brand $(SMOKE)/kuro --num 2 --steps 4
	$(BIN)/onbrand report $(SMOKE)/kuro --baselines --prompts 2 --num 1 --steps 4
	test -s $(SMOKE)/kuro/report.html -a -s $(SMOKE)/kuro/report.json

ROLE ?= vae
pretrain: $(VENV)/.installed-dev  ## rebuild one of the pocket pack's weights: make pretrain ROLE=unet
	$(BIN)/python scripts/pretrain/$(ROLE).py $(ARGS)

bench: $(VENV)/.installed  ## the claims, with intervals: make bench ARGS=--quick
	$(BIN)/onbrand bench pack $(ARGS)
	$(BIN)/onbrand bench consistency $(ARGS)
	$(BIN)/onbrand bench training $(ARGS)

docs: $(VENV)/.installed-dev  ## docs/pack.md and its pictures, docs/benchmarks/README.md
	for world in mascots products fashion; do \
	  $(BIN)/python examples/draw_prompts.py docs/pictures/pack-$$world.webp --world $$world || exit 1; done
	$(BIN)/python examples/draw_prompts.py docs/pictures/pack-styles.webp --world styles --columns 12
	$(BIN)/python examples/draw_followed.py docs/pictures/followed.webp
	$(BIN)/python scripts/pretrain/page.py
	$(BIN)/onbrand bench readme docs/benchmarks

clean:  ## remove what machines made, the environment excepted
	rm -rf build dist $(DEMO) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
