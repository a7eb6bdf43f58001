# make demo and make test do all of their set-up: see README.md.

FUZZTIME ?= 10s

.PHONY: help demo test build accuracy bench fidelity growth lint fuzz clean live chaos

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: ## install what is missing, build, replay the fixtures into an embedded database, show who announced first
	@scripts/demo

test: ## install what is missing, start a throwaway Postgres, run every test
	@scripts/need test
	@scripts/with-postgres scripts/test

build: ## build the commands into bin/
	@scripts/need build
	scripts/build ./cmd/...

bench: ## measure each stage, then replay against tshark and the least analyzer, with a throwaway Postgres; BENCHFLAGS are internal/bench's
	@scripts/need test
	@scripts/bench
	@scripts/with-postgres sh -c 'go run ./internal/bench --sink "$$BTCSNIFF_TEST_DATABASE_URL" $(BENCHFLAGS)'

growth: ## measure how cost and memory grow with connections and capture time, and draw docs/growth.svg; takes 10 minutes and 9 GB
	@scripts/need build
	@go run ./internal/bench -growth docs/growth.svg -seconds 300 $(GROWTHFLAGS)

fidelity: ## measure what tshark and btcsniff find of what is in captures, into docs/fidelity.md; needs tshark
	@scripts/need build
	go run ./internal/fidelity docs/fidelity.md

accuracy: ## measure how often the estimate of a transaction's origin is right, on simulated networks; ACCURACYFLAGS are internal/accuracy's: -full, -seed N
	@scripts/need build
	@go run ./internal/accuracy $(ACCURACYFLAGS)

lint: ## gofmt -s, go vet, staticcheck, go mod tidy -diff
	@scripts/need build
	@scripts/lint

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@scripts/need build
	@scripts/fuzz $(FUZZTIME)

live: ## send 90,000 announcements a second to sniff, which stores them in a throwaway Postgres, for LIVE (70s); needs root
	@scripts/need test
	@BTCSNIFF_CHAOS_LIVE=$(or $(LIVE),70s) go test -count=1 -timeout 60m -run TestLive -v ./internal/chaos

chaos: ## kill Postgres, sniff and replay at random moments, ROUNDS (300) times each, and soak for SOAK (10m); SEED repeats a run; needs root
	@scripts/need test
	@BTCSNIFF_CHAOS_ROUNDS=$(or $(ROUNDS),300) BTCSNIFF_CHAOS_SOAK=$(or $(SOAK),10m) BTCSNIFF_CHAOS_SEED=$(SEED) go test -count=1 -timeout 120m -v ./internal/chaos

clean: ## remove what make build and make demo made
	rm -rf bin
