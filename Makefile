# make alone lists the targets. A fresh clone needs Go and CPython >= 3.11; everything else is installed into
# .tools and .venv inside the clone, in versions that scripts/tools.env and python/requirements-dev.txt pin.

.DEFAULT_GOAL := help
.PHONY: help build demo test lint fuzz bench faults faults-selftest test-services clean tools venv

# GNU make sets MAKEFLAGS for its children; go must see the environment as it is (GOPROXY, GOTOOLCHAIN, GOFLAGS).
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

build: ## the binary, static, into bin/gorge
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/gorge ./cmd/gorge

demo: build venv ## run the city-sensor pipeline on real data and on the load generator (about a minute)
	@scripts/demo.sh

test: lint tools venv ## all checks and tests: make lint, go test -race, pytest
	scripts/test.sh

lint: tools venv ## go vet, golangci-lint, ruff, mypy
	@scripts/lint.sh

fuzz: ## every fuzz target for FUZZTIME=10s; PACKAGE=./internal/codec/... narrows it
	@scripts/fuzz.sh

bench: build venv ## measure against DuckDB, Polars and a naive baseline (N=10000000 ROUNDS=3 JOBS=j1,...); table into bench/results
	@scripts/bench.sh

faults: venv ## kill the engine and compare with an oracle (SEED=1 ROUNDS=2 KILLS=8 SCENARIO=windows,... POINTS=... STALL=1m REPORT=file.md)
	@go run ./test/faults/campaign -seed "$(or $(SEED),1)" -rounds "$(or $(ROUNDS),2)" -kills "$(or $(KILLS),8)" \
		-scenario "$(SCENARIO)" -points "$(POINTS)" -visit=$(if $(SCENARIO)$(POINTS),false,true) -stall "$(or $(STALL),0s)" -report "$(REPORT)"

faults-selftest: venv ## look whether make faults catches the seeded bugs (BUG=prefix EVERY=true)
	@go run ./test/faults/campaign -selftest -seed "$(or $(SEED),1)" -rounds "$(or $(ROUNDS),3)" -kills "$(or $(KILLS),8)" -bug "$(BUG)" -every="$(or $(EVERY),false)"

test-services: build tools venv ## the whole program at size: demo without a terminal, end-to-end tests with millions of events, a real S3 server
	@scripts/test-services.sh

clean: ## remove everything that make has made
	rm -rf bin .tools .venv .bench-venv .bench-data .demo .mypy_cache .ruff_cache

tools: ## golangci-lint and gotestsum, built into .tools
	@scripts/tools.sh golangci-lint gotestsum

venv: ## the Python environment .venv, with NumPy, for functions and tests
	@scripts/venv.sh
