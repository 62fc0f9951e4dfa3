PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
STAMP := $(VENV)/.native
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
# pip and `make native` share the directory, so that the second finds what the first has compiled
BUILD := build/native
NATIVE_SOURCES := $(shell find csrc -name '*.cpp' -o -name '*.h' -o -name '*.txt' -o -name '*.cmake' -o -name '*.map')

.PHONY: all demo test bench wheels lint native native-aarch64 clean

all: $(STAMP)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) cmake nanobind ninja scikit-build-core
	$(PIP_INSTALL) --no-build-isolation --config-settings=build-dir=$(BUILD) -e ".[dev]"
	touch $@

$(STAMP): $(INSTALLED) $(NATIVE_SOURCES)
	$(MAKE) native
	touch $@

# The extension module, the C library and hrt_model_exec, compiled and put in their places.
native: $(INSTALLED)
	$(BIN)/cmake -S csrc -B $(BUILD) -G Ninja --log-level=WARNING \
		-DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
		-DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
		-Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir) \
		-DSKBUILD_SCRIPTS_DIR=$(CURDIR)/$(BIN) -DHORIZON_IN_PLACE=ON
	$(BIN)/cmake --build $(BUILD)
	$(BIN)/cmake --install $(BUILD) --prefix \
		$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')

# hrt_model_exec for AArch64, linked statically: runs on any such Linux, and under qemu-aarch64-static.
native-aarch64: $(INSTALLED)
	$(BIN)/cmake -S csrc -B build/aarch64 -G Ninja --log-level=WARNING \
		-DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
		-DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/csrc/aarch64-toolchain.cmake \
		-DHORIZON_PYTHON=OFF -DHORIZON_STATIC=ON
	$(BIN)/cmake --build build/aarch64

demo: $(STAMP)
	$(BIN)/hat demo

# On up to four cores, each file of tests by one process.
test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: $(STAMP)
	$(PIP_INSTALL) --no-build-isolation --config-settings=build-dir=$(BUILD) -e ".[bench]"
	$(BIN)/python -m benchmarks.run_all

# Wheels for x86-64 and AArch64 and source distributions, in dist/; then each is tried.
wheels: $(STAMP)
	$(PIP_INSTALL) --no-build-isolation --config-settings=build-dir=$(BUILD) -e ".[wheels]"
	$(BIN)/python distribution/build.py --out dist
	$(BIN)/python distribution/try_wheels.py dist

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(filter %.h %.cpp,$(NATIVE_SOURCES))

clean:
	rm -rf $(VENV) build horizon/_native.*.so horizon/lib horizon/include tmp_data tmp_models demo_out
