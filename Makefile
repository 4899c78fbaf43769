# What people run. Each target installs what it needs (scripts/setup), may run twice, and leaves nothing running.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: help demo test postgresql check docs bench sbom emergency torture
# What is run on a PostgreSQL store each time: it is cheap, and tells most.
SLICE := binary(crash) | binary(torture) | binary(main_job) & test(/^(backup|escrow|expiry|kit|rollback|scrub|shared|standing)::/)
# The whole workspace is built even where one crate's tests are run: by itself, a crate has its dependencies with other features, built anew.
SYSTEM := package(claviger-tests)

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: ## the main job with real output: check out, log in, check in, be refused, rotate, prove
	@scripts/setup
	@scripts/demo

test: ## every test, against real systems
	@scripts/setup test
	@. scripts/env; cargo nextest run --workspace --locked --no-fail-fast
	@. scripts/env; CLAVIGER_TEST_ENGINE=postgresql cargo nextest run --workspace --locked --no-fail-fast -E '$(SYSTEM) & ($(SLICE))'
	@. scripts/env; cargo test --doc --workspace --locked -q

postgresql: ## the whole system's tests with a PostgreSQL store of its own for each server
	@scripts/setup test
	@. scripts/env; CLAVIGER_TEST_ENGINE=postgresql cargo nextest run --workspace --locked --no-fail-fast -E '$(SYSTEM)'

check: ## format, lints, dependencies
	@scripts/setup check
	@scripts/check

docs: ## the generated pages: docs/errors.md and docs/anvil.md
	@. scripts/env; UPDATE_DOCS=1 cargo nextest run --workspace --locked -E 'test(_page_is_up_to_date)'

bench: ## reveal, check-out and login beside a bare handler and a bare synced store, in one run
	@scripts/setup
	@scripts/bench

sbom: ## what the programs are made of, as CycloneDX documents in target/sbom
	@scripts/sbom

emergency: ## emergency rotations of 10,000 accounts that are killed three times, one of them on a real PostgreSQL
	@scripts/setup test
	@. scripts/env; cargo nextest run --workspace --locked --run-ignored only -E 'test(of_ten_thousand)'

torture: ## kill -9 under load, 1,000 times on each engine; CLAVIGER_TORTURE_CYCLES=n for another number, CLAVIGER_TORTURE_SEED=n to draw the same again
	@scripts/setup test
	@. scripts/env; CLAVIGER_TEST_ENGINE=rocksdb cargo nextest run --workspace --locked --run-ignored only --success-output final -E 'test(to_a_thousand_kills)'
	@. scripts/env; CLAVIGER_TEST_ENGINE=postgresql cargo nextest run --workspace --locked --run-ignored only --success-output final -E 'test(to_a_thousand_kills)'
