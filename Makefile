# emoserve: `make help` lists what there is. Each target sets up all it needs.
SHELL := /bin/bash -o pipefail
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
CLIP ?=
BENCH_ARGS ?=
LOAD ?= --loop open --shape steps --levels 5,10,20,30 --stage-seconds 15
FUZZ_CASES ?= 2000
FUZZ_SECONDS ?= 60
DEMO_EXTRAS := plot,ensemble,server,export,demo
TEST_EXTRAS := $(DEMO_EXTRAS),live,whisper,openvino,observability,training,loadtests,scaling,dev

# One line that changes while pip works, instead of hundreds or none.
install = $(BIN)/pip install --disable-pip-version-check -c constraints.txt -e '.[$(1)]' \
  | awk '{printf "\r\033[K  %.70s", $$0; fflush()} END {printf "\r\033[K"}'

.PHONY: help demo test lint format load bench fuzz rehearsal simulation clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## export, start Triton, analyse a clip (CLIP=path for your own), show the answer
	@$(BIN)/python demo/run.py $(if $(CLIP),--clip "$(CLIP)")

test: $(VENV)/.test model_repository/manifest.json  ## run all tests, against a real Triton
	@$(BIN)/emoserve export --check
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.test  ## what CI checks beside the tests: ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.test  ## put the code into the house's format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

load: $(VENV)/.test model_repository/manifest.json  ## a load test with its report in out/load (LOAD="Face --levels 1,8,32 ...")
	@$(BIN)/emoserve bench run $(LOAD)

bench: $(VENV)/.test model_repository/manifest.json  ## emoserve and its peers side by side, an hour (BENCH_ARGS="--workloads text --rounds 5")
	@command -v h2load >/dev/null || apt-get install -y -qq --no-install-recommends nghttp2-client >/dev/null \
	  || { echo "bench needs h2load: install nghttp2-client" >&2; exit 1; }
	@$(BIN)/python loadtests/bench.py $(BENCH_ARGS)

fuzz: $(VENV)/.test model_repository/manifest.json  ## mutated real media against the server, then our own parsers (FUZZ_CASES, FUZZ_SECONDS)
	@$(call install,fuzz)
	@$(BIN)/python tests/fuzz/media.py --cases $(FUZZ_CASES)
	@mkdir -p out/fuzz && $(BIN)/python tests/fuzz/parsers.py -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=out/fuzz/

rehearsal: $(VENV)/.test model_repository/manifest.json  ## scale, upgrade and kill real Tritons under load, as Kubernetes would (6 minutes)
	@$(BIN)/python -m emoserve_rehearsal

simulation: $(VENV)/.test  ## replicas, delay and cost of 10 to 100,000 requests per second
	@$(BIN)/emoserve k8s plan

clean:  ## remove the environment and all that was built; the caches in ~/.cache/emoserve stay
	rm -rf $(VENV) .venv-bench out runs dist model_repository/*/*/model.onnx model_repository/manifest.json

model_repository/manifest.json: $(VENV)/.test $(shell find export ensemble -name '*.py' -o -name '*.safetensors')
	@$(BIN)/emoserve export
	@touch $@

$(BIN)/python:
	@python=$$(for name in python3.11 python3.12 python3.10 python3; do \
	    $$name -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	        && { echo $$name; break; }; done); \
	if [ -z "$$python" ]; then echo "emoserve needs Python 3.10, 3.11 or 3.12 on the PATH" >&2; exit 1; fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV) || { echo "install the venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what the demo needs (a few minutes the first time)"
	@$(call install,$(DEMO_EXTRAS))
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing what the tests need (a few minutes the first time)"
	@$(call install,$(TEST_EXTRAS))
	@touch $@ $(VENV)/.demo
