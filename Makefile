# `make demo` and `make test` set everything up on a fresh machine with Python 3.11, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.10 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test lint typecheck install soak bench clean

install: $(STAMP)

$(STAMP): pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/flowsolve demo --out demo-output --force

test: $(STAMP) lint
	# One torch thread in each of the test processes: threads that compete slow each other down many times.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .

# Type checkers do not follow the package_dir mapping of an editable install: check a plain copy.
typecheck: $(STAMP)
	rm -rf build/plain
	$(BIN)/python -m pip install --quiet --no-deps --target build/plain .
	cd build/plain && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p flowsolve

clean:
	rm -rf $(VENV) build demo-output *.egg-info

# The kill-and-resume test, two hundred times.
soak: $(STAMP)
	OMP_NUM_THREADS=1 FLOWSOLVE_KILLS=200 $(BIN)/python -m pytest -n auto tests/recording/test_resume.py

# All benchmarks at a small size, and benchmarks/RESULTS.md of them; DATA is the folder of the images.
DATA ?= ../shared/data
bench: $(STAMP)
	$(BIN)/python -m benchmarks.all --data $(DATA)
