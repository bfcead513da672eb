# Makefile - the front door. CMake and Ninja do the work; `make help` lists what there is.
#
# Each target first installs the Debian packages it needs and the machine lacks (./setup).

BUILD   := build
RELEASE := $(BUILD)/release
PREFIX  ?= /usr/local
DESTDIR ?=
JOBS    ?= $(shell nproc)
CTEST   := ctest --output-on-failure --no-tests=error --parallel $(JOBS)

# Counts, for those who want more or less: make torture COUNT=500, make fuzz SECONDS=600
COUNT   ?= 20000
CASES   ?= 5000
SECONDS ?= 60
# The store's: kills over so many points, crash states, flipped bits, seconds of threads under tsan
KILLS          ?= 1000
INGEST_KILLS   ?= 300
KILL_POINTS    ?= 1000000
STATES         ?= 10000
FLIPS          ?= 10000
THREAD_SECONDS ?= 2
# Runs against the local mode of Qdrant's client, and calls of each
SEEDS          ?= 20
CALLS          ?= 2000
# Sets of access tags, of callers and documents, through every route that reads
RIGHTS         ?= 1000
# Random documents cut for each tokenizer
DOCS           ?= 10000

# Pairs of a question and a manual page, of which make eval measures half
PAIRS          ?= 5000

.DEFAULT_GOAL := build
.PHONY: build demo test asan tsan bench eval torture soak fuzz format format-check layers tidy install \
        clean help

build: ## Build the program and the library (build/release)
	@./setup build
	@test -f $(RELEASE)/build.ninja || cmake --preset release -DBUILD_TESTING=OFF
	@cmake --build $(RELEASE) --parallel $(JOBS) --target nexus libnexus

demo: build ## Build, index examples/docs, ask three questions: cited answers in half a minute
	@tools/demo.sh $(RELEASE)/nexus

test: ## All tests: unit, golden, parity, torture (short), end-to-end
	@./setup test
	@tools/venv.sh
	@tools/node.sh
	@tools/prometheus.sh
	@cmake --preset release -DBUILD_TESTING=ON
	@cmake --build $(RELEASE) --parallel $(JOBS)
	@$(CTEST) --test-dir $(RELEASE) --output-junit junit.xml

asan: ## Unit, golden, short fuzz and torture tests under address and UB sanitizers
	@./setup asan
	@cmake --preset asan
	@cmake --build $(BUILD)/asan --parallel $(JOBS)
	@$(CTEST) --test-dir $(BUILD)/asan --output-junit junit.xml -L 'unit|golden|fuzz|torture'

tsan: ## Unit tests under the thread sanitizer; THREAD_SECONDS=300: the store's readers and writers
	@./setup asan
	@cmake --preset tsan
	@cmake --build $(BUILD)/tsan --parallel $(JOBS)
	@NX_THREAD_SECONDS=$(THREAD_SECONDS) $(CTEST) --test-dir $(BUILD)/tsan --output-junit junit.xml -L unit

bench: build ## Speed on this machine, into bench/results (minutes)
	@cmake --build $(RELEASE) --parallel $(JOBS) --target bench_load bench_store bench_qdrant bench_ingest \
	    bench_retrieve
	@bench/run.sh $(RELEASE)/nexus

eval: build ## How well documents are found and questions answered, against bounds; PAIRS=5000 manual pages
	@python3 tools/eval/run.py $(RELEASE)/nexus --pairs $(PAIRS)

torture: build ## Long runs of damage, COUNT=20000; CASES=5000 requests of the API; KILLS, INGEST_KILLS, STATES, FLIPS, SEEDS, CALLS, DOCS, RIGHTS
	@./setup asan
	@cmake --preset asan
	@cmake --build $(BUILD)/asan --parallel $(JOBS)
	@NX_TORTURE_COUNT=$(COUNT) NX_CRASH_STATES=$(STATES) NX_FLIPS=$(FLIPS) \
	    $(CTEST) --test-dir $(BUILD)/asan -L torture --timeout 7200
	@cmake --preset release -DBUILD_TESTING=ON
	@cmake --build $(RELEASE) --parallel $(JOBS) --target torture_store torture_full torture_chunk torture_ingest
	@NX_INGEST_KILLS=$(INGEST_KILLS) $(RELEASE)/tests/torture/torture_ingest
	@NX_KILLS=$(KILLS) NX_KILL_POINTS=$(KILL_POINTS) $(RELEASE)/tests/torture/torture_store
	@NX_CHUNK_DOCS=$(DOCS) $(RELEASE)/tests/torture/torture_chunk || [ $$? = 77 ]
	@NX_FULL_ROUNDS=100 $(RELEASE)/tests/torture/torture_full || [ $$? = 77 ]
	@tools/venv.sh
	@NX_SCHEMATHESIS_CASES=$(CASES) NEXUS_BIN=$(RELEASE)/nexus \
	    tests/with-venv tests/parity/test_schemathesis.py || [ $$? = 77 ]
	@NX_QDRANT_SEEDS=$(SEEDS) NX_QDRANT_OPS=$(CALLS) NEXUS_BIN=$(RELEASE)/nexus \
	    tests/with-venv tests/parity/test_qdrant_local.py || [ $$? = 77 ]
	@NX_RAG_RIGHTS=$(RIGHTS) NEXUS_BIN=$(RELEASE)/nexus python3 tests/e2e/test_rag_rights.py

soak: build ## Connections by the thousand, slow readers, stops; an 8-billion-parameter model quantised (20 GB of disk)
	@./setup test
	@cmake --preset release -DBUILD_TESTING=ON
	@cmake --build $(RELEASE) --parallel $(JOBS) --target nexus paced_server
	@NX_SOAK=full $(CTEST) --test-dir $(RELEASE) --parallel 1 -L soak --timeout 7200
	@NX_BIG_LAYERS=32 python3 tests/torture/quantise_big.py $(RELEASE)/nexus

fuzz: ## Fuzz every parser; SECONDS=60 for each
	@./setup asan
	@cmake --preset asan
	@cmake --build $(BUILD)/asan --parallel $(JOBS)
	@NX_FUZZ_SECONDS=$(SECONDS) $(CTEST) --test-dir $(BUILD)/asan -L fuzz --timeout 86400

format: ## Lay out all C files (.clang-format)
	@./setup lint
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format-16 -i

format-check: ## Fail if `make format` would change something
	@./setup lint
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format-16 --dry-run -Werror

layers: ## Fail on an include that goes up a floor or across one
	@./setup lint
	@tools/layers

tidy: ## Static analysis with clang-tidy (.clang-tidy)
	@./setup tidy
	@cmake --preset debug -DBUILD_TESTING=ON
	@git ls-files -z 'src/*.c' | xargs -0 -n 1 -P $(JOBS) clang-tidy-16 --quiet -p $(BUILD)/debug

install: build ## Install to $(DESTDIR)$(PREFIX): program, library, header, pkg-config, man page
	@DESTDIR='$(DESTDIR)' cmake --install $(RELEASE) --prefix '$(PREFIX)'

clean: ## Remove build/ (and the Python packages in it)
	rm -rf $(BUILD)

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
