# Each target does its own set-up; Python 3.11 or newer, git and make are all it takes.
.ONESHELL:
.SHELLFLAGS = -eu -c
VENV = .venv
PYTHON ?= python3
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test quick soak lint s3 sagemaker-dry-run sagemaker-image lock clean

repro: $(VENV)/ready
	dvc repro

# several processes side by side; tests that share what takes long run in one of them, and begin first (tests/support/groups.py)
# one more of them than processors, at most four: much of a test is waiting for what it started
PYTEST = pytest --numprocesses $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() + 1))') --dist loadgroup --no-loadscope-reorder
# lines of their own: in `a && b`, a failure of a does not end a shell with -e
define LINT
ruff check
ruff format --check
mypy
lint-imports
endef

# one file alone: .venv/bin/pytest tests/bucket/test_bucket.py
test: $(VENV)/ready
	@echo 'linters and every test but those of `make soak`: ten minutes on two cores (`make quick`: one and a half)'
	$(LINT)
	$(PYTEST)

# the linters and the tests of under a second
quick: $(VENV)/ready
	$(LINT)
	$(PYTEST) -m 'not slow'

# what takes longer than tests may, to be run before an issue is closed; its counts stand in docs/benchmarks.md
soak: $(VENV)/ready
	$(PYTEST) -m soak
	FUZZ=20000 $(PYTEST) tests/bins/test_fuzz_metadata.py tests/dataset/test_fuzz_photo.py
	python benchmarks/soak.py
	python benchmarks/interrupted.py

lint: $(VENV)/ready
	ruff check --fix
	ruff format
	mypy
	lint-imports

# an S3 server on loopback for those without an account, DVC's remote `laptop`, until Ctrl-C; not ?=, many a shell has a PORT
s3: PORT = 9000
s3: $(VENV)/ready
	@exec python -m sagemaker_emulator.local_s3 '$(PORT)'  # exec: a SIGTERM to make reaches its child alone

# SageMaker on this machine, for those without an account, until Ctrl-C; with RUN='dvc repro' until that has ended
sagemaker-dry-run: PORT = 9000
sagemaker-dry-run: RUN =
sagemaker-dry-run: export DRY_RUN = $(value RUN)
sagemaker-dry-run: $(VENV)/ready
	@exec python -m sagemaker_emulator.dry_run '$(PORT)' "$$DRY_RUN"

# the environment as an image in ECR, and the address it has there; BASE=... for another base than the Dockerfile's
sagemaker-image: $(VENV)/ready
	@exec python -m warehouse_classifier.compute.sagemaker.image

# exactly what the lock says, checked against its hashes; the project itself is installed by reference
$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is " + sys.version + "; say make PYTHON=python3.11")'
	test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet uv==0.13.9
	$(VENV)/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python $(VENV)/bin/python requirements.lock
	$(VENV)/bin/uv pip install --quiet --no-deps --no-build-isolation --python $(VENV)/bin/python --editable .
	touch $@

# after a change of dependencies in pyproject.toml: newest versions that go together, with hashes and no index addresses
lock: $(VENV)/ready
	$(VENV)/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-emit-index-url \
		pyproject.toml --group dev --output-file requirements.lock

clean:
	rm -rf $(VENV) .work mlflow.db .mlflow.db.* mlruns mlartifacts
