# Every target does its own set-up, says what it installs, and is safe to repeat. Run as root: containers, namespaces
# and nftables are what this program is about.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PROTOS := $(wildcard proto/api/v1/*.proto)

.PHONY: clients clients-table demo test unit sim mutants e2e chaos fuzz lint type fmt proto bench clean setup help

help:
	@echo "make demo    a lab cluster with a web service behind a virtual IP; stays up"
	@echo "make test    all tests          make e2e   only those on the lab"
	@echo "make chaos   half an hour of faults on a lab under load, the history checked (MINUTES=, SEED=)"
	@echo "make fuzz    random and mutated requests over HTTPS and gRPC at a lab (MINUTES= of each, SEED=)"
	@echo "make lint    ruff and the import contracts    make type  mypy    make bench  figures beside their peers"
	@echo "make sim SEEDS=100  simulated control planes under faults    make mutants  what simulation finds of planted mistakes"
	@echo "make clients every kubectl there is against its expectations, on a lab    make clients-table  write docs/clients.md"
	@echo "make proto   regenerate api/v1   make fmt   format   make clean  remove what these targets made"

setup: $(STAMP)

$(STAMP): pyproject.toml deploy/setup.sh
	deploy/setup.sh --tests $(VENV)
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m lab.demo

test: $(STAMP)
	$(BIN)/python -m pytest

unit: $(STAMP)
	$(BIN)/python -m pytest tests/unit tests/property

# Control planes in one process under faults, one for each seed (docs/testing.md).
SEEDS ?= 100
sim: $(STAMP)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

# The same with one planted mistake each: up to 200 new seeds must find it.
mutants: $(STAMP)
	$(BIN)/python -m tests.simulation --mutants

e2e: $(STAMP)
	$(BIN)/python -m pytest tests/e2e

# What Kubernetes' clients do here: checked on a lab of its own; the page is made of the expectations alone.
clients: $(STAMP)
	$(BIN)/tim lab up --name clients --no-egress
	$(BIN)/python -m tests.clients --lab clients; code=$$?; $(BIN)/tim lab down --name clients; exit $$code

clients-table: $(STAMP)
	$(BIN)/python -m tests.clients

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(MAKE) proto-check

type: $(STAMP)
	$(BIN)/mypy

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: $(STAMP)
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. --pyi_out=. --grpc_python_out=. $(PROTOS)

# The generated files are checked in; this fails when they are not what the protos say.
.PHONY: proto-check
proto-check: $(STAMP)
	rm -rf build/proto && mkdir -p build/proto
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=build/proto --pyi_out=build/proto --grpc_python_out=build/proto $(PROTOS)
	for made in build/proto/api/v1/*; do diff -q $$made api/v1/$$(basename $$made) || exit 1; done

# Real processes under random faults, on a lab of its own; prints its seed, exits with 1 when a promise was broken.
MINUTES ?= 30
chaos: $(STAMP)
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

# Requests that nobody should send, at a lab of three replicas; in an environment of its own.
FUZZ := build/fuzz-venv
fuzz: $(STAMP)
	deploy/setup.sh $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	$(FUZZ)/bin/python -m tests.fuzz.rest --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))
	$(FUZZ)/bin/python -m tests.fuzz.rpc --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

bench: $(STAMP)
	deploy/setup.sh --peers $(VENV)
	$(BIN)/python -m bench.run

clean:
	-$(BIN)/tim lab down --all
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
