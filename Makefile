# `make study` and `make test` are all the set-up there is: each makes .venv first if need be.

PRESET ?= quick
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
NOTEBOOKS := notebooks/*.ipynb
# Outputs and counts are removed anyway; these are what else a session of JupyterLab leaves.
SESSION := $(addprefix metadata.language_info.,codemirror_mode file_extension mimetype \
  nbconvert_exporter pygments_lexer version) metadata.papermill metadata.widgets \
  $(addprefix cell.metadata.,collapsed editable execution jupyter papermill scrolled slideshow)
NBSTRIPOUT := $(BIN)/nbstripout --keep-id --extra-keys '$(SESSION)'

.PHONY: study test docs browser faults slurm explore lint types format strip lab wheel clean

study: $(INSTALLED)
	$(BIN)/surrlab study --preset $(PRESET)

test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# The site in docs/_build/html. Nothing is executed, nothing is fetched; every warning is an error.
docs: $(INSTALLED)
	$(BIN)/python -m sphinx -b html -d docs/_build/doctrees -n -W --keep-going docs docs/_build/html

# With the distribution's Chromium; screenshots go to artefacts/.
browser: $(INSTALLED)
	$(BIN)/python -m pytest -m browser tests/explorer

# Kills, flipped bits, two builders, full disks, hostile environments: docs/reliability.md. Three to
# five minutes on two cores.
faults: $(INSTALLED)
	$(BIN)/python -m pytest -m faults --timeout 1200 --numprocesses 2 tests/faults

# On a Slurm cluster of this machine alone: docs/clusters.md says which packages it needs.
slurm: $(INSTALLED)
	$(BIN)/python -m pytest -m slurm --timeout 1200 tests/slurm

# All notebooks as pages without code, the explorer among them; served to this machine alone, to
# whoever has the token, with nothing from elsewhere: notebooks/voila.json.
explore: $(INSTALLED)
	cd notebooks && $(abspath $(BIN))/voila .

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(NBSTRIPOUT) --verify $(NOTEBOOKS)

types: $(INSTALLED)
	$(BIN)/mypy

format: strip
	$(BIN)/python docs/stubs.py
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

strip: $(INSTALLED)
	$(NBSTRIPOUT) $(NOTEBOOKS)

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks

# Source archive and wheel in dist/; nothing is downloaded.
wheel: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --no-isolation

# Gone while pip runs, so an interrupted installation is none: the next `make` starts afresh.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "surrlab needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -e $@ || $(PYTHON) -m venv --clear .venv
	rm -f $@
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[test,lab,docs]'
	touch $@

# Results stay: they may have taken hours.
clean:
	rm -rf .venv build dist docs/_build docs/api docs/extra docs/notebooks *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
