# `make study` and `make test` are all the set-up there is: each makes .venv first if need be.

PRESET ?= quick
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: study test browser explore lint format lab clean

study: $(INSTALLED)
	$(BIN)/surrlab study --preset $(PRESET)

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# With the distribution's Chromium; screenshots go to artefacts/.
browser: $(INSTALLED)
	$(BIN)/python -m pytest -m browser tests/test_browser.py

# All notebooks as pages without code, the explorer among them; served to this machine alone.
explore: $(INSTALLED)
	$(BIN)/voila notebooks

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/python -c 'import sys; from surrlab import notebooks; \
	  [notebooks.strip(path) for path in sys.argv[1:]]' notebooks/*.ipynb
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks

# Gone while pip runs, so an interrupted installation is none: the next `make` starts afresh.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "surrlab needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -e $@ || $(PYTHON) -m venv --clear .venv
	rm -f $@
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[test,lab]'
	touch $@

# Results stay: they may have taken hours.
clean:
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
