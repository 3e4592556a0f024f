# make book        build the book; PROFILE=smoke|quick|reference|paper, DATA=file.h5 for your images
#                  PROFILE=kept trains nothing: every page shows the kept results
#                  CLUSTER=slurm to train on a cluster: workflow/profiles/slurm/config.yaml
# make wheel       both packages in one file, dist/loupe_lib-*.whl: upload it beside a notebook in Colab
# make test        style, types, layers and tests
# make test-slurm  the workflow on a Slurm that the test starts; LOUPE_TEST_SLURM=all for the
#                  time limit too
# make robustness  every try of the tests that kill, fill and damage; results/robustness.json
# make notebooks   write the repository's address into the notebooks, and clean them for git
# make lock        resolve both locks again (needs uv); delete them first for newer versions
PYTHON  ?= python3
PROFILE ?= quick
DATA    ?=
CLUSTER ?=

PROFILES := kept smoke quick reference paper
ifneq ($(words $(filter $(PROFILES),$(PROFILE))),1)
$(error PROFILE must be one of $(PROFILES); got '$(PROFILE)')
endif

# The words without = are parts of a value with spaces.
OTHERS := $(filter-out PYTHON=% PY=% PROFILE=% DATA=% CLUSTER=%, \
            $(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(word))))
ifneq ($(OTHERS),)
$(error make takes PROFILE, DATA, CLUSTER and PYTHON; got $(OTHERS). For slopes, seeds and accelerations \
  of your own: python -m loupe_companion sweep)
endif

ifeq ($(PROFILE)$(if $(DATA),+),kept+)
$(error PROFILE=kept trains nothing; DATA needs another profile)
endif

ifneq ($(filter-out slurm,$(CLUSTER)),)
$(error CLUSTER must be slurm or nothing; got '$(CLUSTER)')
endif

PY   := .venv/bin/python
PIP  := $(PY) -m pip install --quiet --disable-pip-version-check
LOCK := uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
        --no-annotate --custom-compile-command 'make lock' pyproject.toml

.PHONY: book notebooks wheel test test-slurm robustness lock clean

# Packs of runs are planned for the device that trains: on a cluster, that of the profile.
book: notebooks $(if $(CLUSTER),.venv/.$(CLUSTER))
	@.venv/bin/snakemake --profile 'workflow/profiles/$(or $(CLUSTER),local)' \
	    --config profile='$(PROFILE)' $(if $(DATA),data='$(DATA)') $(if $(CLUSTER),, \
	    device=$$($(PY) -c 'from loupe_lib.training.device import find_device as d; print(d().type)'))
	@echo book/_build/html/index.html

notebooks: .venv/.book
	@$(PY) -m loupe_companion.book.preamble

# `build` would give files that are gone to the next wheel.
wheel: .venv/.book
	@rm -rf build dist
	@$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	    --wheel-dir dist .
	@rm -rf build
	@ls dist/*.whl

# Starts a Slurm of its own, which needs slurm-wlm and munge.
test-slurm: .venv/.test
	LOUPE_TEST_SLURM=$(or $(LOUPE_TEST_SLURM),1) $(PY) -m pytest tests/slurm

test: .venv/.test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	$(PY) -m pytest -n 2 --dist loadfile

robustness: .venv/.test
	$(PY) -m pytest tests/robustness --robustness results/robustness.json

# The environment is set up again only when a file that it is made from has changed.
.venv/.book: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("PYTHON must be Python 3.11 to 3.13; got " + sys.version.split()[0])'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@echo 'Installing requirements.lock into .venv (some minutes the first time)'
	@$(PIP) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.slurm: .venv/.book requirements-test.lock
	@$(PIP) --constraint requirements-test.lock snakemake-executor-plugin-slurm
	@touch $@

# The training code of fastMRI's reader asks for packages that no test needs: hence --no-deps.
.venv/.test: .venv/.book requirements-test.lock
	@$(PIP) -r requirements-test.lock
	@$(PIP) --no-deps fastmri==0.3.0
	@touch $@

# A CPU build of torch has no use for triton, which is large; the tests interpret its kernels.
lock:
	@$(LOCK) --extra book --no-emit-package triton --output-file requirements.lock
	@$(LOCK) --all-extras --constraints requirements.lock --output-file requirements-test.lock

clean:
	rm -rf book/_build dist
