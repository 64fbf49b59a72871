# `make` lists the verbs. Everything they need beyond Python 3.11 and make is installed into .venv from requirements/.

.DEFAULT_GOAL := help
.PHONY: help boosters run test test-long test-browser screenshots test-budget test-programs test-cluster test-compose cluster cluster-down up down register compare retrain k8s chart rules runbooks dashboards reference lint format check new train import bench bench-peers bench-cluster bench-overload bench-drift bench-honesty bench-size lock base-image sbom clean

MODEL ?= heart-disease
DATA ?=
# The Telco table, which may not be passed on: tests that need it are skipped where it is not.
export CHURN_DATA ?= $(wildcard ../shared/data/telco_churn.csv)
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# What is given is taken as it is: make would expand a $ in it, and so run $(shell ...), here and as it exports it.
names = MODEL DATA TARGET FILE VERSION TRUST STACK KEY A B SEEN FEW_ROWS ARGS UPGRADE PYTHON CHURN_DATA
given = $(foreach name,$(names),$(if $(filter environment,$(origin $(name))),$(name))) \
	$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name)))
$(foreach name,$(given),$(eval override $(name) := $$(value $(name)))$(eval export $(name)))

# A value as one word of the shell, whatever it holds; ~/ at its start is still the home.
quoted = $(if $(filter ~/%,$(firstword $(1))),~/'$(subst ','\'',$(patsubst ~/%,%,$(1)))','$(subst ','\'',$(1))')
table = $(if $(and $(DATA),$(TARGET)),$(DATA),$(error name table and class, such as MODEL=credit DATA=credit.csv TARGET=default))
# A model that is named, and no stack: the stack of any model.
own = $(filter-out default file,$(origin MODEL))
stack = $(if $(STACK),$(call quoted,$(STACK)),$(if $(own),model,$(error name a stack, such as STACK=iris, or a model, such as MODEL=iris)))

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/serve.done ## serve the model on http://127.0.0.1:8000 (settings: docs/settings.md)
	@LOG_FORMAT=$${LOG_FORMAT:-text} exec .venv/bin/python api_server.py

# One thread of linear algebra a process: several processes with several threads each would take turns.
test: .venv/dev.done ## run all tests that need only Python, on all cores
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

test-long: .venv/dev.done ## run the tests that take longer than CI may: OpenAPI in full, every model, ten tables, slow failures, an hour of greedy clients
	@.venv/bin/python -m tools.cluster build
	TEST_LONG=true OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --dist worksteal tests/contract $(ARGS)
	TEST_LONG=true OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest tests/programs/test_failures.py tests/programs/test_slow_clients.py $(ARGS)
	@rm -rf .venv/tables && .venv/bin/python -m tests.tables .venv/tables
	OPENBLAS_NUM_THREADS=1 TEST_LONG= OWN_MODELS=.venv/tables .venv/bin/python -m pytest --numprocesses auto --dist worksteal \
		tests/contract tests/programs/test_tables.py $(ARGS)

test-browser: .venv/dev.done ## run the tests of the console in Debian's Chromium
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest tests/browser --durations=10 $(ARGS)

screenshots: .venv/dev.done ## write docs/screenshots/ (needs Debian's Chromium)
	@.venv/bin/python -m tools.screenshots

test-programs: .venv/dev.done ## run the tests on real programs: Prometheus, helm, PostgreSQL (Linux, root, Go)
	@.venv/bin/python -m tools.cluster build
	OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest tests/programs --durations=20 $(ARGS)

test-cluster: cluster ## run the tests on a real Kubernetes (Linux, root, Go)
	@.venv/bin/python -m tools.cluster image heart-disease-api:latest
	.venv/bin/python -m pytest tests/cluster --durations=20 $(ARGS)

test-compose: .venv/dev.done ## run the tests on the Docker engine, or on one that it starts (Linux, root, Go)
	@.venv/bin/python -m tools.cluster docker
	.venv/bin/python -m pytest tests/compose --durations=20 $(ARGS)

up: ## start STACK (iris, churn, fraud or heart), or any MODEL, on Docker Compose
	@compose/up.sh $(stack)

down: ## stop STACK, or that of MODEL; its volumes stay
	@cd compose/$(stack) && docker compose down

register: ## log runs of MODEL's versions and register them with the MLflow server of the churn stack
	@cd compose/churn && docker compose run --rm register python register.py /model/$(call quoted,$(MODEL))

cluster: .venv/dev.done ## start a Kubernetes of two nodes on this machine (Linux, root, Go)
	@.venv/bin/python -m tools.cluster up

cluster-down: .venv/dev.done ## stop it, and the Docker engine of test-compose, and leave nothing behind
	@.venv/bin/python -m tools.cluster down

k8s: .venv/dev.done ## render k8s/ from the chart (needs helm)
	@PATH="$${XDG_CACHE_HOME:-$$HOME/.cache}/heart-disease-api/bin:$$PATH" .venv/bin/python -m tools.render_k8s

chart: ## package the chart into dist/, with provenance of GnuPG's KEY if one is named (needs helm)
	@PATH="$${XDG_CACHE_HOME:-$$HOME/.cache}/heart-disease-api/bin:$$PATH" scripts/package-chart.sh $(if $(KEY),--key $(call quoted,$(KEY)))

rules: .venv/dev.done ## write the rules for every stack and the chart; of MODEL: those on its own [metrics], and a dashboard
	@.venv/bin/python -m monitoring.$(if $(own),dashboards.own --model $(call quoted,$(MODEL)),alerting)

runbooks: .venv/dev.done ## render the runbooks as the HTML that the server answers browsers with
	@.venv/bin/python -m tools.render_runbooks

dashboards: .venv/dev.done ## write Grafana's dashboards and the summary of what is tracked
	@.venv/bin/python -m monitoring.dashboards

reference: .venv/dev.done ## write the tables of docs/metrics.md and docs/models.md
	@.venv/bin/python -m tools.reference

lint: .venv/dev.done ## check style, types and workflows
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/zizmor --offline --quiet .github/workflows

format: .venv/dev.done ## rewrite the code in the one style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

new: .venv/train.done ## draft MODEL's folder from the table DATA, whose column TARGET holds the class
	@.venv/bin/python -m training.new --model $(call quoted,$(MODEL)) --data $(call quoted,$(table)) --target $(call quoted,$(TARGET))

check: .venv/train.done ## check in seconds that MODEL can be trained on DATA (its own file), exported and served
	@.venv/bin/python -m training.check --model $(call quoted,$(MODEL)) $(if $(DATA),--data $(call quoted,$(DATA)))

train: .venv/train.done ## train MODEL (heart-disease), or its VERSION alone, from DATA (its own file) into bundle and card
	.venv/bin/python -m training --model $(call quoted,$(MODEL)) $(if $(VERSION),--version $(call quoted,$(VERSION))) $(if $(DATA),--data $(call quoted,$(DATA)))

import: .venv/train.done ## import FILE, a trained model, as MODEL's VERSION, judged on the labelled rows of DATA (TRUST=yes: a pickle)
	@.venv/bin/python -m training.importing --model $(call quoted,$(MODEL)) $(if $(FILE),--file $(call quoted,$(FILE))) $(if $(DATA),--data $(call quoted,$(DATA))) $(if $(TARGET),--target $(call quoted,$(TARGET))) $(if $(VERSION),--version $(call quoted,$(VERSION))) $(if $(TRUST),--trust $(call quoted,$(TRUST))) $(if $(CLASSES),--classes $(call quoted,$(CLASSES)))

test-budget: .venv/dev.done ## count the instructions of a request (needs valgrind)
	.venv/bin/python -m pytest tests/budget $(ARGS)

bench: .venv/dev.done ## measure the server, a quarter of an hour on a quiet machine (needs wrk)
	.venv/bin/python -m bench ours

bench-peers: .venv/dev.done ## measure it against other servers, each in its own environment (needs wrk)
	.venv/bin/python -m bench peers

bench-cluster: cluster ## measure pods, and what they cost Prometheus (needs wrk; Linux, root, Go)
	@.venv/bin/python -m tools.cluster image heart-disease-api:latest
	.venv/bin/python -m bench cluster

bench-overload: .venv/dev.done ## measure it under more load than it takes, beside two other servers (needs wrk)
	.venv/bin/python -m bench overload

bench-drift: .venv/dev.done ## measure how often alerts on drift are wrong, and how well they see (needs Go)
	@.venv/bin/python -m tools.cluster build
	.venv/bin/python -m bench drift

bench-honesty: .venv/train.done ## simulate honest data, on which every alert and refusal is wrong (hours; needs no other work)
	.venv/bin/python -m bench honesty

bench-size: .venv/dev.done ## measure what training costs by rows and features (ten minutes)
	.venv/bin/python -m bench size

compare: .venv/train.done ## compare versions A and B of MODEL on the labelled rows of DATA
	@.venv/bin/python -m training.compare --model $(call quoted,$(MODEL)) --a $(call quoted,$(A)) --b $(call quoted,$(B)) $(if $(DATA),--data $(call quoted,$(DATA)))

retrain: .venv/train.done ## train MODEL's next version from DATA, and write it if it is no worse than the served one
	@.venv/bin/python -m training.retrain --model $(call quoted,$(MODEL)) $(if $(DATA),--data $(call quoted,$(DATA))) $(if $(SEEN),--seen $(call quoted,$(SEEN))) $(if $(FEW_ROWS),--allow-few-rows)

boosters: .venv/boosters.done ## install XGBoost and LightGBM into .venv, for recipes and imports that use them

lock: .venv/dev.done ## resolve requirements/*.in into the hashed lock files anew
	@for name in serve train boosters sbom dev mlflow; do echo "requirements/$$name.txt"; \
		(cd requirements && ../.venv/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header $(UPGRADE) \
		$$name.in --output-file $$name.txt) || exit 1; done

base-image: .venv/dev.done ## renew the digest of the images' base (needs the registry)
	@.venv/bin/python -m tools.base_image

sbom: .venv/dev.done ## write sbom.cdx.json, what this checkout serves with (CycloneDX)
	@.venv/bin/python -m tools.sbom --environment .venv --output sbom.cdx.json

clean: ## remove the environment and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# serve.done, train.done and dev.done mark what is installed; each lock contains the one before.
.venv/%.done: requirements/%.txt
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python' >&2; exit 1; }
	@test -x .venv/bin/pip || $(PYTHON) -m venv .venv || { echo "error: $(PYTHON) cannot make environments; on Debian and Ubuntu install python3-venv" >&2; exit 1; }
	@echo 'installing requirements/$*.txt into .venv ...'
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/$*.txt
	@touch $@
