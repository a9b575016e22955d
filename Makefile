# What one types. `make` lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Targets install and build into the same folders, and say in their order what must be there first; cargo uses all cores.
.NOTPARALLEL:

ROOT := $(CURDIR)
PYTHON := python3
# Where cargo builds; the programs are copied from there.
TARGET := $(or $(CARGO_TARGET_DIR),$(ROOT)/target)
PROGRAMS := ctl coordinator worker executor executor-torch openvino-ir
SECONDS_OF_RUN := $(or $(SECONDS),60)
# What `programs` builds. `test` builds its binaries in the same go, since cargo would build most crates twice otherwise.
WHAT := --bins --exclude sim

# torch-sys finds libtorch here while building; the tests find all native libraries here.
export LIBTORCH := $(ROOT)/native
export NIGHTSHIFT_NATIVE_DIR := $(ROOT)/native/lib
export NIGHTSHIFT_WEIGHTS := $(ROOT)/weights

# How programs of the tests find libtorch; idle OpenMP threads sleep.
RUNTIME := LD_LIBRARY_PATH="$(ROOT)/native/lib$${LD_LIBRARY_PATH:+:$$LD_LIBRARY_PATH}" OMP_WAIT_POLICY=PASSIVE

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | column -t -s "$$(printf '\t')" 2>/dev/null || grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install everything that the demo needs: packages, native libraries (CUDA=1: also for NVIDIA GPUs), weights, images
	$(PYTHON) scripts/setup.py demo

.PHONY: build
build: ## build the programs into bin/
	$(PYTHON) scripts/setup.py build
	$(MAKE) --no-print-directory programs

# The programs, without looking for what is missing.
.PHONY: programs
programs:
	cargo build --locked --workspace $(WHAT)
	mkdir -p bin
	for program in $(PROGRAMS); do install -m 755 "$(TARGET)/debug/$$program" "bin/.$$program.new" && mv "bin/.$$program.new" "bin/$$program"; done
	ln -sfn ../native/lib bin/lib

.PHONY: weights
weights: programs ## fetch and import the weights of mobilenet_v2 and efficientnet_lite0
	$(PYTHON) scripts/fetch_parts.py weights
	$(PYTHON) scripts/import_weights.py bin/ctl

.PHONY: texture
texture: programs ## make the dataset that configs/minimal.yaml and the demo use
	$(PYTHON) scripts/fetch_parts.py photos
	if ! [ -f datasets/texture/.complete ] || [ -n "$$(find tests/texture/src -newer datasets/texture/.complete)" ]; then \
		"$(TARGET)/debug/texture" .cache/photos datasets/texture && touch datasets/texture/.complete; fi

.PHONY: demo
demo: setup programs weights texture ## from nothing to a result table: four models on solar cells and textures
	bin/ctl doctor
	bin/ctl run --new configs/benchmark-demo.yaml

.PHONY: test
test: ## run every test
	$(PYTHON) scripts/setup.py test
	$(PYTHON) scripts/fetch_parts.py servers
	$(MAKE) --no-print-directory weights texture WHAT="--all-targets --exclude sim"
	$(RUNTIME) cargo test --locked --workspace --exclude sim --no-fail-fast
	$(RUNTIME) cargo test --locked --package sim
	$(MAKE) --no-print-directory readers charts

.PHONY: chaos
chaos: ## kill and cut a real RabbitMQ, a real S3 server and calls far more often than `test` does (about half an hour)
	$(PYTHON) scripts/setup.py test
	$(PYTHON) scripts/fetch_parts.py servers
	$(MAKE) --no-print-directory weights WHAT="--all-targets --exclude sim"
	NIGHTSHIFT_CHAOS=1 cargo test --locked --workspace --exclude sim --test broker --test stores -- --nocapture
	$(RUNTIME) NIGHTSHIFT_CHAOS=1 cargo test --locked --workspace --exclude sim --test system -- faults

# The server comes from npm, as the lock file beside its package.json says (186 MB), and needs Node.
.PHONY: azure
azure: ## test az:// against Azurite, an Azure blob server (installs Node)
	$(PYTHON) scripts/setup.py azure
	mkdir -p .cache/azurite && cp tests/objects/azurite/package*.json .cache/azurite/
	cd .cache/azurite && npm ci --ignore-scripts --no-audit --no-fund
	cargo test --locked --workspace --exclude sim --test stores -- --ignored azure

.PHONY: lint
lint: ## format, clippy, documents: no warnings
	$(PYTHON) scripts/setup.py build
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

.PHONY: bench
bench: ## measure against the peers: JSON lines; ONLY=name for one of them
	$(PYTHON) scripts/setup.py bench
	$(MAKE) --no-print-directory weights texture
	$(PYTHON) tests/bench/bench.py $(if $(ONLY),--only $(ONLY))

.PHONY: parity
parity: ## compare PaDiM's scores with Anomalib 1.0.1's on ELPV (its environment takes 6 GB)
	$(PYTHON) scripts/setup.py demo
	$(MAKE) --no-print-directory weights
	$(PYTHON) tests/bench/parity.py

.PHONY: interop
interop: ## give exported models to Anomalib 1.0.1's inferencer, OpenVINO 2024.0 and onnx's checker (its environment takes 6 GB)
	$(PYTHON) scripts/setup.py demo
	$(MAKE) --no-print-directory weights texture
	$(PYTHON) tests/bench/interop.py

# A job's tables read by pandas, polars and duckdb (their environment takes 600 MB).
.PHONY: readers
readers:
	if ! [ tests/readers/requirements.txt -ot .cache/readers/.complete ]; then \
		$(PYTHON) -m venv .cache/readers && .cache/readers/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps -r tests/readers/requirements.txt \
		&& touch .cache/readers/.complete; fi
	.cache/readers/bin/python tests/readers/readers.py

# Its environment takes 160 MB.
.PHONY: charts
charts: ## check the Helm chart, its alerts and its dashboard (needs the programs: `make build`)
	$(PYTHON) scripts/setup.py charts
	$(PYTHON) scripts/fetch_parts.py charts
	if ! [ tests/charts/requirements.txt -ot .cache/charts/venv/.complete ]; then \
		$(PYTHON) -m venv .cache/charts/venv && .cache/charts/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps -r tests/charts/requirements.txt \
		&& touch .cache/charts/venv/.complete; fi
	.cache/charts/venv/bin/python tests/charts/charts.py

.PHONY: images
images: ## carry out the steps of images/Dockerfile in bootstrap roots, and do a job there (as root)
	$(PYTHON) scripts/setup.py images
	$(MAKE) --no-print-directory weights
	$(PYTHON) scripts/fetch_parts.py base
	$(PYTHON) tests/images/prove.py

.PHONY: sim
sim: ## simulate the scheduling core for SECONDS=n (60)
	cargo build --locked --quiet --workspace --bins
	"$(TARGET)/debug/sim" --seconds $(SECONDS_OF_RUN)

# Instrumented code needs flags that the stable compiler hides; what is found is kept in .cache/fuzz/corpus, beside where it begins: fuzz/corpus.
.PHONY: fuzz
fuzz: ## fuzz the readers of archives, images, job files, lists, models and weights for SECONDS=n each (60)
	cargo install --quiet --locked --version 0.13.2 --root .cache/fuzz cargo-fuzz
	for target in archives images jobs lists models weights; do mkdir -p .cache/fuzz/corpus/$$target; \
		RUSTC_BOOTSTRAP=1 PATH="$(ROOT)/.cache/fuzz/bin:$$PATH" cargo fuzz run --target-dir .cache/fuzz/target $$target .cache/fuzz/corpus/$$target fuzz/corpus/$$target -- -max_total_time=$(SECONDS_OF_RUN) -rss_limit_mb=4096 -timeout=20 -print_final_stats=1; done

.PHONY: clean
clean: ## remove what was built; downloads, weights and datasets stay
	cargo clean
	rm -rf bin
