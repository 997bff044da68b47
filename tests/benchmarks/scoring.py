"""Scoring: adapters in one engine start against separate starts, and the runner against its engine.

python -m tests.benchmarks.scoring --base B --checkpoint C --environment .venv-vllm --out docs/...

The Makefile gives it the demo's base and the last checkpoint of a run. The first table's seconds
hold the start of Python and of the engine, the second's are taken inside one process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.run import machine

ADAPTERS, BUDGET, BATCH, TURNS = 12, 9, 200, 10

RUNNER = """
from alpharl.evaluation.runner import Scorer
from alpharl.evaluation.suites import read_suite
from alpharl.evaluation.engines.registry import read_settings

def runner(suite, base, evaluation, out):
    scorer = Scorer(read_suite(Path(suite)), Path(base), read_settings(json.loads(evaluation)))
    def run():
        started = time.perf_counter()
        scorer.score(Path(base), answers=Path(out) / f"{time.time_ns()}.jsonl")
        return time.perf_counter() - started
    return run, scorer
"""
HF = """
import json, sys, time, torch
from pathlib import Path
from transformers import AutoModelForCausalLM
suite, base, evaluation, out, prompts, new, size = sys.argv[1:]
prompts, new, size = json.load(open(prompts)), int(new), int(size)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
prompts.sort(key=len, reverse=True)

def bare():
    started = time.perf_counter()
    for at in range(0, len(prompts), size):
        part = prompts[at : at + size]
        longest = max(map(len, part))
        ids = torch.tensor([[0] * (longest - len(p)) + p for p in part])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in part])
        with torch.inference_mode():
            model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=new, do_sample=False)
    return time.perf_counter() - started

run, _ = runner(suite, base, evaluation, out)
turns = [(run(), bare()) for _ in range(TURNS + 1)][1:]
print(*map(min, zip(*turns)))
"""
VLLM = """
import json, sys, time
from pathlib import Path
run, scorer = runner(*sys.argv[1:5])
with scorer:
    print(min([run() for _ in range(TURNS + 1)][1:]))
"""
BARE_VLLM = """
import json, sys, time
from vllm import LLM, SamplingParams
prompts, base, budget = json.load(open(sys.argv[1])), sys.argv[2], int(sys.argv[3])
if __name__ == "__main__":
    llm = LLM(model=base, dtype="float32", max_model_len=32, enforce_eager=True)
    given = [{"prompt_token_ids": prompt} for prompt in prompts]
    params = SamplingParams(temperature=0, max_tokens=budget)
    def run():
        llm.reset_prefix_cache()
        started = time.perf_counter()
        llm.generate(given, params, use_tqdm=False)
        return time.perf_counter() - started
    print(min([run() for _ in range(TURNS + 1)][1:]))
"""


def verb(*arguments: object) -> None:
    """Run a verb of the command line in a process of its own."""
    command = [sys.executable, "-m", "alpharl.cli", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def timed(*arguments: object) -> float:
    """Seconds that a verb takes, the start of Python included."""
    started = time.perf_counter()
    verb(*arguments)
    return time.perf_counter() - started


def script(text: str, python: Path | str, *arguments: object) -> list[float]:
    """The numbers that a script prints last."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(f"TURNS = {TURNS}\n{text}")
        file.flush()
        command = [str(python), file.name, *map(str, arguments)]
        # vLLM in one process, as the engine runs it on a CPU.
        settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR",
                    "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1",
                    "TQDM_DISABLE": "1"}  # fmt: skip
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | settings
        )
    return [float(number) for number in done.stdout.splitlines()[-1].split()]


def make_inputs(folder: Path, base: Path, checkpoint: Path) -> int:
    """A suite, its prompts in tokens, and adapters of ranks 1 to 12; the number of questions."""
    spec = {"role": "test", "max_new_tokens": BUDGET, "max_truncated": 1,
            "tasks": [{"task": "addition", "split": "test"}]}  # fmt: skip
    verb("suite", "--name", "test", "--spec", json.dumps(spec), "--out", folder / "suite.json")
    verb("factors", "--base", base, "--checkpoint", checkpoint, "--rank", ADAPTERS,
         "--out", folder / "f.safetensors")  # fmt: skip
    for k in range(1, ADAPTERS + 1):
        verb("rank", "--base", base, "--checkpoint", checkpoint, "--rank", k,
             "--factors", folder / "f.safetensors", "--out", folder / f"rank-{k}")  # fmt: skip
    from alpharl.evaluation.questions import read_questions
    from alpharl.evaluation.suites import read_suite

    (task,) = read_questions(read_suite(folder / "suite.json"), base)
    (folder / "prompts.json").write_text(json.dumps(task.tokens))
    return len(task.tokens)


def starts(folder: Path, base: Path, name: str, engine: list[object]) -> tuple[float, float]:
    """Seconds of all adapters in one start, and of a start for each."""
    common = ["evaluate", "--suite", folder / "suite.json", "--base", base, *engine]
    variants = [f"--variant=rank-{k}={folder}/rank-{k}" for k in range(1, ADAPTERS + 1)]
    together = timed(*common, *variants, "--out", folder / f"{name}-one")
    apart = sum(timed(*common, one, "--out", folder / f"{name}-many") for one in variants)
    for k in range(1, ADAPTERS + 1):
        one, many = (json.loads((folder / f"{name}-{how}" / f"rank-{k}.json").read_text())
                     for how in ("one", "many"))  # fmt: skip
        assert one["correct"] == many["correct"], f"rank {k}"
    return together, apart


def main() -> None:
    """Write two tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("base", "checkpoint", "environment", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    python = args.environment / "bin" / "python"
    engines: dict[str, list[object]] = {
        "hf": ["--engine", "hf", "--batch-size", BATCH],
        "vllm": ["--engine", "vllm", "--environment", args.environment],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = make_inputs(folder, args.base, args.checkpoint)
        lines = [
            "# Benchmarks of the scoring\n",
            f"`make benchmark-scoring`. {machine()}. The demo's 1M-parameter model, {questions} "
            f"questions, at most {BUDGET} tokens each, greedy, float32.\n",
            f"{ADAPTERS} adapters of ranks 1 to {ADAPTERS}; seconds hold every start.\n",
            "| engine | one start | a start for each | ratio |\n| --- | --- | --- | --- |",
        ]
        for engine, options in engines.items():
            one, many = starts(folder, args.base, engine, options)
            lines.append(f"| {engine} | {one:.1f} | {many:.1f} | {many / one:.1f} |")
            print(lines[-1], flush=True)
        lines += [
            "\nAnswers per second on the same prompts, the best of ten, after one for warmth: the "
            "runner with prompts, grading and answers kept on disk, and the bare engine.\n",
            "| engine | runner | bare engine | ratio |\n| --- | --- | --- | --- |",
        ]
        prompts = folder / "prompts.json"
        for engine in engines:
            chosen = {"engine": engine, "batch_size": BATCH, "environment": str(args.environment)}
            asked = [folder / "suite.json", args.base, json.dumps(chosen), folder]
            if engine == "hf":
                runner, bare = script(RUNNER + HF, sys.executable, *asked, prompts, BUDGET, BATCH)
            else:
                (runner,) = script(RUNNER + VLLM, sys.executable, *asked)
                (bare,) = script(BARE_VLLM, python, prompts, args.base, BUDGET)
            lines.append(f"| {engine} | {questions / runner:.0f} | {questions / bare:.0f} "
                         f"| {bare / runner:.2f} |")  # fmt: skip
            print(lines[-1], flush=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
