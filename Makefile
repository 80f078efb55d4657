# Everything that a fresh clone needs is Python 3.11 or later and make:
#   make demo    train a network on handwritten digits and print every stage of its compilation
#   make test    lint, check types and run the tests
#   make test-gpu  run the tests that need an NVIDIA GPU, and write a report of them
#   make gpu-report  on a GPU: measure what matters most, run these tests, measure the rest; in 14 minutes
#   make bench   run the benchmarks
#   make judge-torch  run PyTorch's own samples of its operators through the backend of torch.compile
#   make docs    turn docs/ into HTML, in site/
#   make clean   remove what was made, the environment included

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
SECONDS_ON_GPU ?= 840
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test test-gpu gpu-report lint check bench judge-torch docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.examples
	$(BIN)/python examples/digits.py

test: lint check
	$(BIN)/python -m pytest -q -n $(JOBS)

test-gpu: $(VENV)/.test $(VENV)/.gpu
	$(BIN)/python tests/gpu_report.py

gpu-report: $(VENV)/.bench $(VENV)/.test $(VENV)/.gpu
	$(BIN)/python tests/gpu_session.py --seconds $(SECONDS_ON_GPU)

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check

check: $(VENV)/.test
	$(BIN)/pyright

bench: $(VENV)/.bench
	$(BIN)/python -m dlc bench --out bench/results

judge-torch: $(VENV)/.test
	$(BIN)/python tests/opinfo_suite.py --jobs $(JOBS) --redo failed --write

docs: $(VENV)/.docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -q -W docs site

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist out site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp a set of extras: installing again is needed only when the project file changes.
$(VENV)/.bench $(VENV)/.docs $(VENV)/.examples $(VENV)/.gpu $(VENV)/.test: $(VENV)/.%: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) --editable '.[$*]'
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "dlc needs Python 3.11 or later; choose one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
