# Everything is set up on the way: a virtual environment in .venv, the package in it, the model in the user's cache.
# make bench DEVICE=cuda measures a GPU too.
PYTHON ?= python3
PY := .venv/bin/python

# Tests run in so many processes, with a thread each.
WORKERS ?= 2

.PHONY: film test quick soak lint gallery dreams dreamspeed cluster cookbook study bench growth startup networks precisions evenness clean

film: .venv/installed
	.venv/bin/forgetting render

# Everything that CI runs.
test: lint
	$(PY) -m pytest -n $(WORKERS) --dist worksteal

# Lint, types and tests of logic: about four minutes on two cores.
quick: lint
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m 'not model and not slow and not soak'

# What takes long: hundreds of kills, fuzzers by the million, benchmarks.
soak: .venv/tested-with
	$(PY) -m pytest -n $(WORKERS) --dist worksteal -m soak

lint: .venv/tested-with
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo

gallery: .venv/installed
	$(PY) docs/gallery.py
	$(PY) docs/table.py

dreams: .venv/installed
	$(PY) -m pip install --disable-pip-version-check --quiet -e '.[dream]'
	$(PY) docs/dreams.py

dreamspeed: .venv/installed
	$(PY) benchmarks/dreams.py $(if $(DEVICE),--device $(DEVICE))

cluster: .venv/installed
	$(PY) -m pip install --disable-pip-version-check --quiet -e '.[ray]'
	$(PY) benchmarks/cluster.py

cookbook: .venv/installed
	$(PY) docs/cookbook.py

bench: .venv/installed
	$(PY) benchmarks/speed.py $(if $(DEVICE),--device $(DEVICE))

growth: .venv/installed
	$(PY) benchmarks/growth.py

# make startup AGAINST=FOLDER compares with another checkout of the project.
startup: .venv/installed
	$(PY) benchmarks/startup.py $(if $(AGAINST),--against $(AGAINST))

networks: .venv/installed
	$(PY) benchmarks/networks.py

precisions: .venv/installed
	$(PY) benchmarks/precisions.py

study: .venv/installed
	$(PY) -m pip install --disable-pip-version-check --quiet -e '.[measures]'
	.venv/bin/forgetting render -m experiment=study
	.venv/bin/forgetting compare outputs/study

evenness: .venv/installed
	$(PY) benchmarks/evenness.py

clean:
	rm -rf .venv

$(PY):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | $(PY)
	$(PY) -m pip install --disable-pip-version-check --quiet -e .
	touch $@

.venv/tested-with: pyproject.toml | $(PY)
	$(PY) -m pip install --disable-pip-version-check --quiet -e '.[dev]'
	touch $@ .venv/installed
