# `make` shows what there is. Everything builds from source with Go alone;
# linting, the race detector and Postgres are found or fetched when asked for.

SHELL       := /bin/bash
GO          ?= go
GOLANGCI    := .bin/golangci-lint
GOLANGCI_V  := v2.13.1
MODULES     := sdk/go examples/hello-go examples/host-app/plugin plugins/http chaos/guest host/oauth/fositetest host/webhook/peertest
GUEST       := GOOS=wasip1 GOARCH=wasm $(GO) build -buildmode=c-shared -ldflags='-s -w'
SUITE       ?= host

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "} /^[a-zA-Z_.\/-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
.DEFAULT_GOAL := help

## The newcomer's path

.PHONY: run
run: bin/cofferdam build/hello-go.wasm ## Build, serve on 127.0.0.1:8080 with SQLite under ./data, play the demo, go on serving.
	bin/cofferdam demo --keep

.PHONY: demo
demo: bin/cofferdam build/hello-go.wasm ## The same, ending after the demo: exit code 0, or 1 with the reason.
	bin/cofferdam demo

.PHONY: test
test: node_modules ## All tests, on SQLite and, where initdb or COFFERDAM_TEST_POSTGRES is found, on Postgres.
	$(GO) test ./...
	@for m in $(MODULES); do (cd $$m && echo "$$m" && $(GO) test ./...) || exit 1; done
	@if [ -z "$$COFFERDAM_TEST_POSTGRES" ] && ! command -v initdb >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then \
		echo; echo "THE POSTGRES SUITES DID NOT RUN: install PostgreSQL 15, or set COFFERDAM_TEST_POSTGRES to the URL of a server."; fi

.PHONY: node_modules
node_modules: ## What the tests of the TypeScript SDK, those in a browser and of vendors' libraries need, from npm, where there is one.
	@if ! command -v npm >/dev/null; then echo "npm is not here: what needs it is skipped"; exit 0; fi; \
	for d in sdk/typescript test/browser test/peers; do \
		cmp -s $$d/package-lock.json $$d/node_modules/.installed || \
			(cd $$d && npm ci --no-audit --no-fund && cp package-lock.json node_modules/.installed) || exit 1; done

## Building

.PHONY: bin/cofferdam
bin/cofferdam: ## Build the binary.
	CGO_ENABLED=0 $(GO) build -o $@ ./cmd/cofferdam

.PHONY: build/hello-go.wasm
build/hello-go.wasm: ## Build the example connector.
	@mkdir -p build
	cd examples/hello-go && $(GUEST) -o ../../$@ .

## Checking

.PHONY: check
check: arch vet lint test ## All that has to hold, quickest first.
	$(GO) mod tidy -diff
	git diff --exit-code

.PHONY: arch
arch: ## Import directions, package names and comments.
	$(GO) test -count=1 .

.PHONY: vet
vet: ## go vet, everywhere.
	$(GO) vet ./...
	@for m in $(MODULES); do (cd $$m && $(GO) vet ./...) || exit 1; done

.PHONY: lint
lint: $(GOLANGCI) ## golangci-lint, everywhere.
	$(GOLANGCI) run ./...
	@for m in $(MODULES); do (cd $$m && $(CURDIR)/$(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...) || exit 1; done

$(GOLANGCI):
	GOBIN=$(CURDIR)/.bin GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_V)

.PHONY: fmt
fmt: $(GOLANGCI) ## Format.
	$(GOLANGCI) fmt ./...

.PHONY: race
race: ## All tests with the race detector (needs a C compiler).
	CGO_ENABLED=1 $(GO) test -race ./...
	@for m in $(MODULES); do (cd $$m && CGO_ENABLED=1 $(GO) test -race ./...) || exit 1; done

.PHONY: cover
cover: ## Coverage, as a page.
	@mkdir -p build
	$(GO) test -coverpkg=./... -coverprofile=build/cover.out ./...
	$(GO) tool cover -html=build/cover.out -o build/cover.html

.PHONY: conformance
conformance: ## The store's conformance suite on both databases.
	$(GO) test -count=1 ./host/store/...

.PHONY: bench
bench: build/hello-go.wasm ## Benchmarks: make bench SUITE=host, runtime, journal, authoring, credentials, oauth or ingest prints a line per figure.
	$(GO) run ./bench/$(SUITE)

.PHONY: fuzz
fuzz: ## Run each fuzz target for a while (FUZZTIME=10s).
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
		echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $${FUZZTIME:-10s} $$p || exit 1; done; done

.PHONY: chaos
chaos: ## Kill a server 200 times on each database, then give the databases trouble: nothing may be lost or done twice.
	$(GO) run ./chaos -cycles 3 -database both -lease 8s -long 1 -rate 40 -p99 10s
	$(GO) run ./chaos -cycles 200 -database both
	for t in restart terminate connections freeze disk; do $(GO) run ./chaos -database postgres -trouble $$t -rate 30 -lease 8s || exit 1; done
	$(GO) run ./chaos -database sqlite -trouble disk -rate 30 -lease 8s

.PHONY: soak
soak: ## The long forms of the sandbox's tests, of the search for secrets, of refreshes, of clusters and of chaos: hours.
	$(GO) run ./chaos -cycles 1000 -database both
	$(GO) test -count=1 -timeout 3h ./host/store/postgres -run 'Million|Redelivering' -v -args -redeliver.events=1000000 -redeliver.pace=220 -redeliver.probes=10000 -redeliver.turns=100
	$(GO) test -count=1 -timeout 1h ./host/webhook/signature -run Forgery -v -args -verify.executions=10000000
	$(GO) test -count=1 -timeout 1h ./test/cluster -v -args -cluster.copies=1000 -cluster.held=500 -cluster.used=0.8
	$(GO) test -count=1 ./host -run ARateIsShared -v -args -pace.rate=10 -pace.window -pace.used=0.8
	$(GO) test -count=1 -timeout 3h ./runtime/meter -args -spec.full
	$(GO) test -count=1 -timeout 3h ./cmd/cofferdam -run 'Canary|Outlives' -args -canary.calls=10000 -rotation.records=100000 -rotation.executions=1000 -rewrap.tenants=10000
	$(GO) test -count=1 -timeout 3h ./host/authorization -run 'Behaviours/concurrency' -v -args -authorization.expiries=200 -authorization.kills=20
	$(GO) test -count=1 -timeout 3h ./sdk/tck -run Streams -args -stream.mib=1024
	$(GO) test -count=1 -timeout 3h ./runtime -args -canary.calls=100000 -killpoints.full -determinism.calls=1000 -hammer.rounds=1000

## Housekeeping

.PHONY: generate
generate: ## Write what is written by programs: the OpenAPI document, the Go SDK that templates bring, the plugins' pages.
	$(GO) test ./host/api -run Document -update
	$(GO) test ./sdk/build/template -run GoSDK -update
	$(GO) test ./plugins -update

.PHONY: tidy
tidy: ## go mod tidy, everywhere.
	$(GO) mod tidy
	@for m in $(MODULES); do (cd $$m && $(GO) mod tidy) || exit 1; done

.PHONY: clean
clean: ## Remove what was built; ./data stays.
	rm -rf bin build
