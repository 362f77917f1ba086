# "make help" lists the targets. test, cover, fuzz, loc, demo and bench need Go,
# git and make alone; interop-java and bench-java need a JDK and Maven, too,
# interop-nginx needs nginx, interop-browser and screenshot Chromium, interop-python
# Python, and interop-backends Python and Node; the others build the tools pinned in tools/go.mod, once.

FUZZTIME ?= 20s
BENCHFLAGS ?=
TESTFLAGS ?=
BRPC_JAVA ?= 3.0.2 3.0.5
PYTHON ?= python3
CHROMIUM ?= $(shell command -v chromium)
NGINX ?= $(shell PATH="$$PATH:/usr/sbin:/usr/local/sbin" sh -c 'command -v nginx')

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

tool := go tool -modfile=$(CURDIR)/tools/go.mod

# The modules of their own: what they need is not needed by the library.
examples := $(patsubst %/go.mod,%,$(wildcard examples/*/go.mod))
tested := $(examples) internal/deploytest internal/stocktools
modules := bench internal/browser $(tested)

comma := ,
space := $(subst ,, )

# The race detector needs a C compiler. Go sets CGO_ENABLED to 0 without one.
race := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)

.PHONY: help all demo test hostile interop-java java-peers interop-nginx interop-browser screenshot interop-python interop-backends interop-tools cover fuzz bench bench-quick bench-growth bench-java generate fmt lint check loc

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' Makefile

all: generate lint test ## Generate, lint and test (default)

demo: ## Run the quick start: a server calls its clients
	go run ./examples/quickstart

test: ## Vet, test with the race detector, and check costs without it (TESTFLAGS=...)
	$(if $(race),,@echo "make: no C compiler, so this tests WITHOUT the race detector")
	go vet ./...
	go test $(race) -timeout 10m $(TESTFLAGS) ./...
	go test -timeout 10m $(TESTFLAGS) ./internal/cost
	for m in $(tested); do (cd $$m && go vet ./... && go test $(race) -timeout 10m $(TESTFLAGS) ./...) || exit; done

interop-java: java-peers ## Test against real brpc-java peers (BRPC_JAVA="3.0.2 3.0.5")
	PUSHTUNNEL_BRPC_JAVA=$(subst $(space),$(comma),$(strip $(BRPC_JAVA))) go test -count=1 -timeout 15m $(TESTFLAGS) ./internal/javapeer
	PUSHTUNNEL_BRPC_JAVA=$(subst $(space),$(comma),$(strip $(BRPC_JAVA))) go test -count=1 -timeout 5m -run '^TestCallJavaPeer$$' $(TESTFLAGS) ./cmd/pushtunnel/internal/cli

java-peers:
	for v in $(BRPC_JAVA); do mvn -B -q -f internal/javapeer/java/pom.xml -Dbrpc.version=$$v package || exit; done
	mvn -B -q -f examples/native/java/pom.xml compile

hostile: ## Set 1,000 attackers, and 10,000 silent connections, on a server with honest clients
	PUSHTUNNEL_HOSTILE=1 go test -count=1 -timeout 15m -v -run '^(TestHostileClients|TestACrowdThatDoesNotSayWhatItIs)$$' $(TESTFLAGS) ./internal/production

interop-nginx: ## Test behind a real nginx (NGINX=/usr/sbin/nginx)
	@test -n "$(NGINX)" || { echo "make: no nginx: install one with HTTP/2, for instance nginx-light of Debian, or say NGINX=path" >&2; exit 1; }
	PUSHTUNNEL_NGINX=$(NGINX) go test $(race) -count=1 -parallel 16 -timeout 3m $(TESTFLAGS) ./internal/nginx

interop-browser: ## Test the admin page in a real Chromium (CHROMIUM=/usr/bin/chromium)
	@test -n "$(CHROMIUM)" || { echo "make: no Chromium: install one, for instance chromium of Debian, or say CHROMIUM=path" >&2; exit 1; }
	cd internal/browser && PUSHTUNNEL_CHROMIUM=$(CHROMIUM) go test $(race) -count=1 -timeout 10m $(TESTFLAGS) ./...

screenshot: ## Take the pictures of docs/ADMIN.md (CHROMIUM=/usr/bin/chromium)
	PUSHTUNNEL_SCREENSHOT=$(CURDIR)/docs/images $(MAKE) interop-browser TESTFLAGS='-run ^TestScreenshot$$$$ $(TESTFLAGS)'

interop-python: ## Test against the Python client (PYTHON=python3)
	PYTHON=$(PYTHON) examples/python-client/generate
	PUSHTUNNEL_PYTHON=$(CURDIR)/examples/python-client/.venv/bin/python go test $(race) -count=1 -timeout 5m $(TESTFLAGS) ./internal/pythonpeer

interop-backends: ## Push from Python and Node through the gateway (PYTHON=python3)
	PYTHON=$(PYTHON) examples/push/prepare
	PUSHTUNNEL_BACKENDS=1 go test $(race) -count=1 -timeout 5m $(TESTFLAGS) ./internal/backends

interop-tools: ## Test with grpcurl, grpc-health-probe and ghz
	cd internal/stocktools && PUSHTUNNEL_TOOLS=1 go test $(race) -count=1 -timeout 5m $(TESTFLAGS) ./...

cover: ## Test and print the share of the statements that ran
	go test -timeout 10m -coverprofile=coverage.out \
		-coverpkg="$$(go list ./... | grep -v -e '/proto$$' -e '/examples/' | paste -sd , -)" ./...
	go tool cover -func=coverage.out

fuzz: ## Run each fuzz target for a while (FUZZTIME=20s)
	scripts/fuzz $(FUZZTIME)

bench: ## Compare with the alternatives (BENCHFLAGS=...)
	cd bench && go run . $(BENCHFLAGS)

bench-quick: ## The same in under a minute, for daily use
	cd bench && go run . -quick $(BENCHFLAGS)

bench-growth: ## Draw what calls cost as things grow, into docs/charts
	cd bench && go run . growth $(BENCHFLAGS)

bench-java: java-peers ## Compare the native protocol with brpc-java itself
	PUSHTUNNEL_BENCH_JAVA=1 PUSHTUNNEL_BRPC_JAVA=$(firstword $(BRPC_JAVA)) go test -count=1 -timeout 15m -v -run '^TestBench$$' ./internal/javapeer

generate: ## Regenerate the Go code from proto/
	$(tool) buf generate

fmt: ## Format Go and proto
	$(tool) buf format -w
	$(tool) golangci-lint fmt

lint: ## Lint Go, proto and the go.mod files
	$(tool) buf lint
	$(tool) buf format -d --exit-code
	$(tool) golangci-lint run
	go fix -diff ./...
	go mod tidy -diff
	for m in $(modules); do \
		(cd $$m && go vet ./... && $(tool) golangci-lint run && go fix -diff ./... && go mod tidy -diff) || exit; \
	done

check: generate ## Fail if the generated code is stale or not committed
	git diff --exit-code -- proto '*.pb.go'
	@new=$$(git ls-files --others --exclude-standard -- proto '*.pb.go') || exit; \
		test -z "$$new" || { echo "not committed:"; echo "$$new"; exit 1; } >&2

loc: ## Rewrite the table of lines per package in README.md
	scripts/loc
