# make book    build the book; PROFILE=smoke|quick|reference|paper, DATA=file.h5 for one's own images
# make test    lint, types and tests
# make survival  every try of the tests that kill, fill and damage; writes results/survival.json
# make lock    resolve requirements.lock again (needs uv); then commit it
PYTHON  ?= python3
PROFILE ?= quick
DATA    ?=

PROFILES := smoke quick reference paper
ifneq ($(words $(filter $(PROFILES),$(PROFILE))),1)
$(error PROFILE must be one of $(PROFILES); got '$(PROFILE)')
endif

PY    := .venv/bin/python
READY := .venv/.ready
# fastMRI's own reader, which a test holds the synthetic files to; its trainers' packages stay out.
FASTMRI := fastmri==0.3.0

.PHONY: book notebooks test survival lock clean
.DELETE_ON_ERROR:

book: $(READY)
	@$(PY) -m loupe_companion.book.preamble
	@$(PY) -m loupe_companion.book.build --profile '$(PROFILE)' $(if $(DATA),--data '$(DATA)')

notebooks: $(READY)
	@$(PY) -m loupe_companion.book.preamble

test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -n 2 --dist loadfile

survival: $(READY)
	$(PY) -m pytest tests/robustness --survival results/survival.json

# The environment is set up again only when what it is made from has changed.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("PYTHON must be Python 3.11 to 3.13; got " + sys.version.split()[0])'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@echo 'Installing requirements.lock into .venv (some minutes the first time)'
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps $(FASTMRI)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# One version of each package for every Python wherever one exists; markers where none does.
lock:
	@{ echo '# Everything `make` installs, to the version, for Python 3.11 to 3.13 on Linux and macOS.'; \
	   echo '# Made by `make lock` from pyproject.toml; torch brings the GPU libraries of its own build.'; \
	   uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	     --all-extras --no-header --no-annotate --no-emit-index-url pyproject.toml; \
	 } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean:
	rm -rf book/_build
