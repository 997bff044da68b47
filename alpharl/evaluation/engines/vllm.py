"""The `vllm` engine: one vLLM, in an environment of its own, for many models of one base."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from alpharl.checkpoints.adapter import read_model
from alpharl.checkpoints.configs import changes, listed
from alpharl.checkpoints.differences import token_rows
from alpharl.checkpoints.fit import require_same_tensors, require_stored_names
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.vocabulary import ResizedIndex
from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.engine import Answer, Decoding, Generate, Prompt
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.evaluation.engines.worker_process import WorkerProcess
from alpharl.names import FilePath
from alpharl.scratch import scratch

if TYPE_CHECKING:
    from alpharl.variants.store import Variant

_WORKER = Path(__file__).with_name("vllm_worker.py")
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM 0.32 takes as `max_lora_rank`."""
_ADAPTED = {f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")}
"""Modules that vLLM puts adapters on in every model family that it serves."""
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
"""Unless they are set already."""
_CACHE = "VLLM_CPU_KVCACHE_SPACE"
"""On a CPU, GiB for keys and values. Goes before vLLM's arguments, and is 1 without any of them:
vLLM would take nearly all memory."""
_SPEED = {
    "block_size", "cpu_offload_gb", "enable_chunked_prefill", "enable_prefix_caching",
    "enforce_eager", "gpu_memory_utilization", "kv_cache_memory_bytes", "max_loras",
    "max_num_batched_tokens", "max_num_seqs", "swap_space", "tensor_parallel_size",
}  # fmt: skip
"""Arguments of vLLM that say how fast and within how much memory, and not what is computed."""


_SAID = {
    "model": "which would be scored in every model's place",
    "tokenizer": "where prompts are made with the base's",
    "dtype": "which the key 'dtype' of 'evaluation' says",
    "trust_remote_code": "where no code of a model's folder is run",
    "hf_token": "a key, which reports and commands would repeat, where only folders are read",
}
"""Arguments of vLLM that a study cannot give, and why."""


class Vllm(EngineSettings):
    """vLLM in an environment of its own, one start for all models of a job. It scores adapters as
    LoRA (on a CPU, where that is slow, only with `vllm: {enable_lora: true}`), and everything else
    by replacing the weights in place."""

    engine: Literal["vllm"] = "vllm"
    environment: FilePath
    """Folder of the virtual environment that vLLM is installed in; `make engines` makes
    `.venv-vllm`."""
    vllm: dict[str, Any] = Field(default={})
    """Arguments of vLLM's `LLM` class, such as `{"gpu_memory_utilization": 0.5}`."""

    @field_validator("vllm")
    @classmethod
    def _arguments_are_free(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name in arguments:
            if name in _SAID:
                raise ValueError(f"found '{name}', {_SAID[name]}; leave it out")
        return arguments

    seed_note = (
        "vLLM seeds each request by itself, whatever runs beside it; batches change rounding, "
        "which may turn a near tie"
    )
    incidental = EngineSettings.incidental | {"environment"}
    splits = True
    gpu_flops = 2e13
    process_gib = 4

    @property
    def answer_settings(self) -> dict[str, Any]:
        """Engine, precision, and the arguments of vLLM that are not about speed."""
        computed = {name: value for name, value in self.vllm.items() if name not in _SPEED}
        return {**super().answer_settings, "vllm": computed}

    def require(self, gpus: int) -> str:
        """Refuse an environment without vLLM, and more GPUs than a job has."""
        split = self.vllm.get("tensor_parallel_size", 1)
        if gpus and isinstance(split, int) and split > gpus:
            raise EvaluationError(
                f"evaluation.vllm: found tensor_parallel_size {split} and 'gpus: {gpus}', expected "
                "as many at most; leave it out, or raise 'gpus'"
            )
        if not Path(self.environment).exists():
            return f"{self.environment}: no such environment yet; make it with `make engines`"
        _versions(Path(self.environment))
        return ""

    def open(self, base: Path, longest: int, gpus: int, rank: int) -> VllmEngine:
        """Note what to start; vLLM starts with the first model."""
        environment = Path(self.environment)
        return VllmEngine(base, self.dtype, environment, self.vllm, longest, rank, gpus)


class VllmEngine:
    """Holds a base; answers as the base with an adapter on it, or as any model of the same kind.

    vLLM starts when the first model is asked for, which takes it most of a minute.
    """

    def __init__(
        self, base: Path, dtype: str, environment: Path, arguments: dict[str, Any], longest: int,
        rank: int, gpus: int,
    ) -> None:  # fmt: skip
        """Note what to start.

        Args:
            base: model folder of step 0; its tokenizer and its end tokens serve all models.
            dtype: name of a torch dtype, of weights and adapters.
            environment: virtual environment with vLLM in it.
            arguments: of vLLM's `LLM` class; they go before ours.
            longest: tokens of the longest prompt and its answer together.
            rank: highest rank of the adapters to come; 0 where there are none.
                Those above vLLM's own limit are scored as dense models.
            gpus: GPUs to spread the model over; 0 is the CPU.

        Raises:
            EvaluationError: the environment has no vLLM.
        """
        from alpharl.evaluation.engines.end_tokens import end_tokens

        self.versions = _versions(environment)
        self._command: list[str | Path] = [environment.absolute() / "bin" / "python", "-I", _WORKER]
        self._base, self._longest = base.absolute(), longest
        self._arguments = {
            "model": str(self._base), "dtype": dtype, "max_model_len": longest,
            "tensor_parallel_size": max(gpus, 1), "seed": 0,
            # The suite alone says how to decode, not a file next to the model.
            "generation_config": "vllm",
            "load_format": "safetensors", "trust_remote_code": False,
            # On a CPU vLLM gathers an adapter anew for every token, at the highest rank: its merged
            # weights are loaded and run in less time.
            **(_adapter_arguments(rank) if arguments.get("enable_lora", gpus > 0) else {}),
            **arguments,
        }  # fmt: skip
        self._ends = end_tokens(self._base)
        self._worker: WorkerProcess | None = None
        self._loaded = self._base
        self._ids = itertools.count(1)

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """End vLLM, and all processes that it has started."""
        if self._worker:
            self._worker.close()
        self._worker, self._loaded = None, self._base

    @contextmanager
    def model(self, source: Path | Variant) -> Iterator[Generate]:
        """The model of a folder or a variant, for as long as the context lasts.

        On a GPU, or with `enable_lora`, a low-rank update of projections is put on the base as an
        adapter. Anything else is built as a dense model in a temporary folder, loaded in place of
        the weights there, and deleted at once.

        Raises:
            EvaluationError: the source is a line through logits, or of another architecture.
            CheckpointError: its tensors are not the base's, or have other names in its files.
        """
        from alpharl.variants.build import build_dense

        adapter = None
        if isinstance(source, Path):
            self._load(source.absolute())
        elif source.logits:
            raise EvaluationError(
                f"{source.folder}: found a line through two models' logits, which vLLM cannot mix; "
                "score it with engine 'hf'"
            )
        elif folder := self._served(source):
            self._load(self._base)
            # A number of its own each time: vLLM keeps what it knows by this number.
            adapter = {"id": next(self._ids), "path": str(folder.absolute())}
        else:
            with scratch("model") as temporary:
                build_dense(source, temporary / "model")
                self._load(temporary / "model")
        yield lambda prompts, decoding: self._generate(prompts, decoding, adapter)

    def _served(self, variant: Variant) -> Path | None:
        """The adapter's folder, if vLLM can put the whole variant on the base."""
        from safetensors import safe_open

        highest = self._arguments.get("max_lora_rank", 0)
        if not variant.pure_adapter or not variant.adapter:
            return None
        config = json.loads((variant.adapter / "adapter_config.json").read_text())
        if config["r"] > highest or not _ADAPTED.issuperset(config["target_modules"]):
            return None
        with safe_open(variant.adapter / "adapter_model.safetensors", "numpy") as tensors:
            names = list(tensors.keys())
        # Experts' projections go by the same names, but vLLM stacks them in ways of its own.
        return None if any(".experts." in name for name in names) else variant.adapter

    def _load(self, folder: Path) -> None:
        """Have the weights of a folder in vLLM, which starts if it does not run."""
        if not self._worker:
            self._start()
        if folder == self._loaded:
            return
        _require_same_model(self._base, folder)
        self._ask({"op": "load", "path": str(folder)})
        self._loaded = folder

    def _start(self) -> None:
        require_stored_names(read_index(self._base))
        variables = dict(_ENVIRONMENT)
        if not {"kv_cache_memory_bytes", "gpu_memory_utilization"} & self._arguments.keys():
            variables[_CACHE] = "1"
        self._worker = WorkerProcess(self._command, variables | os.environ)
        self._loaded = self._base
        self._ask({"arguments": self._arguments})

    def _ask(self, request: dict[str, Any]) -> None:
        """A request that has one line as its answer."""
        for _ in self._lines(request):
            raise AssertionError("one line was expected")

    def _lines(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Lines of an answer up to its last. Ends vLLM if not all are taken, or it fails."""
        if not self._worker:
            raise EvaluationError("found vLLM ended, as not all answers were taken; begin anew")
        done = False
        try:
            self._worker.send(request)
            while not done:
                line = self._worker.receive()
                done = "ready" in line or "done" in line
                if not done:
                    yield line
        finally:
            if not done:
                self.close()

    def _generate(
        self, prompts: Sequence[Prompt], decoding: Decoding, adapter: dict[str, Any] | None
    ) -> Iterator[tuple[int, Answer]]:
        for prompt in prompts:
            if len(prompt.tokens) + prompt.budget > self._longest:
                raise EvaluationError(
                    f"found a prompt of {len(prompt.tokens)} tokens with a budget of "
                    f"{prompt.budget}, expected {self._longest} together at most"
                )
        request = {
            "op": "generate", "adapter": adapter, "prompts": [asdict(p) for p in prompts],
            # Of the end tokens, vLLM would know the tokenizer's alone.
            "decoding": asdict(decoding) | {"stop_token_ids": self._ends, "ignore_eos": True},
        }  # fmt: skip
        for line in self._lines(request):
            yield line["index"], Answer(line["text"], line["tokens"], line["finished"])


def _versions(environment: Path) -> dict[str, str]:
    """Versions of what an environment holds, read without starting anything in it."""
    folders = [str(path) for path in environment.glob("lib/python*/site-packages")]
    installed = {d.name: d.version for d in distributions(path=folders)}
    # Builds for some devices go by names of their own, such as vllm-cpu.
    names = [name for name in sorted(installed) if name.partition("-")[0] == "vllm"]
    if not names or not (environment / "bin" / "python").exists():
        raise EvaluationError(
            f"{environment}: found no vLLM there, expected a virtual environment with it; "
            "make one with `make engines`, or name yours as 'environment'"
        )
    libraries = {name: installed[name] for name in ("torch", "transformers")}
    return {"vllm": installed[names[0]], **libraries}


def _adapter_arguments(rank: int) -> dict[str, Any]:
    """vLLM's arguments for adapters up to a rank; it takes only some ranks as the highest."""
    if rank == 0:
        return {}
    highest = next((known for known in _RANKS if known >= rank), _RANKS[-1])
    return {"enable_lora": True, "max_lora_rank": highest, "max_loras": 1}


def _require_same_model(base: Path, folder: Path) -> None:
    """Weights are replaced in place: config and shapes go on to be the base's.

    Raises:
        CheckpointError: it does not fit the base, or has other names in its files.
        EvaluationError: it fits, but has another config, or other rows of tokens.
    """
    index, changed = read_model(folder, base), changes(base, folder)
    # A tensor that the folder lacks would stay the model's before it.
    require_same_tensors(read_index(base), index)
    require_stored_names(index)
    other = f"{listed(changed)} in its config.json" if changed else ""
    if isinstance(index, ResizedIndex):
        other = f"{index.rows} rows of tokens (base: {token_rows(base, folder)[1]})"
    if other:
        raise EvaluationError(
            f"{folder}: found {other}, expected what the base has, which vLLM goes on to use; "
            "score it with engine 'hf'"
        )
