# Main commands: make demo, make test, make lint, make setup.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)

# pip reads PIP_FIND_LINKS itself; uv has to be told, one option per folder.
ifdef UV
INSTALL := uv pip install --python $(BIN)/python $(addprefix --find-links ,$(PIP_FIND_LINKS))
else
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
endif

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo test test-faults test-gpu benchmark benchmark-scoring calibration lint format schema clean

setup: $(VENV)/.installed

# The constraints pin what the ranges in pyproject.toml leave open.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit(f"error: found Python {v[0]}.{v[1]}, expected 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --constraint constraints.txt --editable '.[test]'
	touch $@

demo: setup
	snakemake
	@echo "report: $(CURDIR)/results/demo/report/index.html"

test: setup
	pytest tests/unit tests/workflow

test-faults: setup
	pytest tests/faults

# Ratios of the factor and gram stages to their floors; needs 15 GB of disk and memory.
benchmark: setup
	python -m tests.benchmarks.run --out docs/benchmarks.md
	python -m tests.benchmarks.forecasts --out docs/benchmarks-forecasts.md

# Adapters in one engine start against a start for each, and the runner against its engines.
benchmark-scoring: demo engines
	python -m tests.benchmarks.scoring --base results/demo/bases/tiny/model \
	  --checkpoint results/demo/runs/grpo-slow/checkpoints/step-100 \
	  --environment .venv-vllm --out docs/benchmarks-scoring.md

# Trains about thirty small runs and scores every method from three windows of each: some hours on two cores.
STUDIES := calibration-design calibration-exam
calibration: setup
	for study in $(STUDIES); do \
	  snakemake --configfile config/studies/$$study.yaml --until gram suite && \
	  TQDM_DISABLE=1 python -m tests.calibration.run config/studies/$$study.yaml || exit 1; \
	done
	python -m tests.calibration.summarize $(addprefix results/,$(STUDIES)) --out docs/calibration.md

# Each test is skipped, and says why, where there is no GPU.
test-gpu: setup
	pytest tests/gpu -rs

lint: setup
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check workflow

format: setup
	ruff check --fix .
	ruff format .
	snakefmt workflow

# The JSON schema of study files follows the config models; a test keeps it in sync.
schema: setup
	python -m alpharl.study.schema workflow/schemas/config.schema.json

clean:
	rm -rf $(VENV) results .snakemake
