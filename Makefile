# insitud. `make demo` shows it, `make test` proves it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
CHECK := --explicit-target-dependency-import-check error

.PHONY: help demo test build bench lint clean usb-e2e dependencies readers install sanitize

help:
	@echo "make demo      charges one nanobattery at 2 pA on the twin, under a 400 fps camera (about two minutes)"
	@echo "make test      builds and runs all tests"
	@echo "make build     builds insitud, insituctl and insitu-twin for use"
	@echo "make usb-e2e   the daemon and Linux's own USB drivers on emulated instruments, in a virtual machine"
	@echo "make bench     measures, each figure beside its yardstick"
	@echo "make readers   opens a recorded run with HyperSpy, LiberTEM and mrcfile (large download)"
	@echo "make sanitize  runs the tests under the thread and the address sanitizer"
	@echo "make lint      swift format lint --strict"
	@echo "make install   installs below DESTDIR/usr, with the systemd unit"
	@echo "make clean     ends a demo that was left behind, removes what was built and recorded here"

dependencies:
	@packaging/dependencies.sh build

build: dependencies
	swift build -c release $(CHECK)

demo: build
	@packaging/demo.sh

# The Python that checks us with other people's programs.
$(PYTHON): Tests/requirements.txt Tests/requirements-alone.txt
	@packaging/dependencies.sh test
	python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check -r Tests/requirements.txt
	.venv/bin/pip install -q --disable-pip-version-check --no-deps -r Tests/requirements-alone.txt
	@touch $(PYTHON)

test: $(PYTHON)
	@packaging/dependencies.sh test
	swift build --build-tests $(CHECK)
	@echo "First what keeps all cores busy: sessions with a fault at every transfer, and pixels. Others wait for instruments meanwhile."
	INSITUD_PYTHON=$(CURDIR)/$(PYTHON) swift test --skip-build --filter "AnomalyTests|PixelsTests"
	INSITUD_PYTHON=$(CURDIR)/$(PYTHON) swift test --skip-build --skip "AnomalyTests|PixelsTests"

sanitize:
	@packaging/dependencies.sh test
	swift test --sanitize=thread --scratch-path .build/thread --skip DaemonTests
	LSAN_OPTIONS=suppressions=$(CURDIR)/packaging/leaks.txt:print_suppressions=0 \
	  swift test --sanitize=address --scratch-path .build/address --skip DaemonTests

usb-e2e:
	@packaging/dependencies.sh build
	@packaging/usb-e2e/run.sh

bench: $(PYTHON)
	@packaging/dependencies.sh bench
	swift build -c release $(CHECK)
	@Benchmarks/run.sh

lint:
	swift format lint --strict --recursive Sources Tests Benchmarks Package.swift

readers: $(PYTHON)
	.venv/bin/pip install -q --disable-pip-version-check -r Tests/requirements-readers.txt
	$(PYTHON) Tests/read_run.py demo-data

install: build
	packaging/install.sh "$(DESTDIR)"

clean:
	@packaging/stop-demo.sh
	rm -rf .build .venv demo-data
