# A machine with Python 3.11 or newer, make and git is enough: uv is found or installed, and installs
# exactly what uv.lock says into .venv.

SHELL := bash
export PATH := $(PATH):$(CURDIR)/.cache/bin
# An environment that happens to be active must not leak into this one.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV
# The theme of the documentation advertises its successor in every build.
export NO_MKDOCS_2_WARNING := 1

RUN := uv run --locked
# checkov and parliament need old versions of what the others need: they have an environment of their own.
SECURITY := UV_PROJECT_ENVIRONMENT=.cache/security uv run --locked --only-group security
TEMPLATES := src/dayfly/aws/templates
# What runs in images, whose Python may be older than ours.
IN_IMAGES := $(addprefix src/dayfly/,errors.py runs runner keeper snapshot/unpack.py backends/container_process.py backends/batch_process.py)

.DEFAULT_GOAL := help
.PHONY: help uv demo machines test check format bench aws-acceptance faults rehearsal docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

uv:
	@scripts/bootstrap.sh

demo: uv ## run examples/quickstart.ipynb and say where the result is
	$(RUN) --no-default-groups --group demo dayfly run examples/quickstart.ipynb
	@echo "dayfly is in .venv/bin here: look at the notebook with .venv/bin/dayfly open last"
	@if docker version >/dev/null 2>&1; then \
	  echo "There is a Docker engine: see the same notebook on a machine of the cloud, rehearsed here: make rehearsal"; fi

# What counts all that an engine has must be alone with it: `make machines` runs it.
test: uv ## run all tests; ARGS="-k words" runs some
	@scripts/system-packages.sh
	$(RUN) pytest -n auto --ignore tests/rehearsal/test_nothing_left.py $(ARGS)

check: uv ## lint, types, who imports whom, shell scripts, templates, lock file, docs
	uv lock --check
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy $(wildcard src tests benchmarks)
	$(RUN) mypy --python-version 3.10 $(IN_IMAGES)
	$(RUN) lint-imports --no-logo --cache-dir .cache/import-linter
	$(RUN) shellcheck .ci/run $$(git ls-files --cached --others --exclude-standard '*.sh')
	$(RUN) python scripts/machine_template.py --check
	$(RUN) cfn-lint $(TEMPLATES)/*.yaml
	$(SECURITY) checkov --framework cloudformation --directory $(TEMPLATES) --compact --quiet --skip-download
	set -o pipefail; $(RUN) python scripts/policy_documents.py | $(SECURITY) python scripts/check_policies.py
	$(RUN) mkdocs build --strict --quiet --site-dir .cache/site

format: uv ## format the code and mend what ruff can mend
	$(RUN) ruff check --fix
	$(RUN) ruff format

bench: uv ## measure against papermill and jupyter execute
	$(RUN) python -m benchmarks

aws-acceptance: uv ## try everything on the real AWS, under a dollar, asks first; ARGS=--rehearse: what an emulator can
	$(RUN) python scripts/aws_acceptance.py $(ARGS)

machines: uv ## run only the tests of rehearsed machines, which really boot, a minute each
	@scripts/system-packages.sh
	$(RUN) pytest tests/rehearsal $(ARGS)

faults: uv ## let every fault happen, and write what was left of it into docs/faults.md
	@scripts/system-packages.sh
	$(RUN) pytest -m fault -n 2 --fault-records=.cache/faults.json $(ARGS)
	$(RUN) python scripts/faults_report.py .cache/faults.json

rehearsal: uv ## run a notebook on a machine of the cloud, here; ARGS="--fault spot-notice": with something going wrong
	@scripts/system-packages.sh
	PYTHONPATH=. $(RUN) python scripts/rehearsal.py examples/quickstart.ipynb $(ARGS)

docs: uv ## write the CLI reference and build the documentation into site/
	$(RUN) python scripts/cli_reference.py
	$(RUN) mkdocs build --strict

clean: ## remove everything that make has made
	rm -rf .cache .hypothesis .venv dist site
