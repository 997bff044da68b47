"""The other end of the `vllm` engine: a script for vLLM's own environment; knows no alpharl.

It is spoken to in lines of JSON: on standard input one request, on standard output its answers.

    {"arguments": {...}}                     of vLLM's LLM class; once, first   {"ready": true}
    {"op": "generate", "adapter": {"id": 1, "path": "..."} or null,
     "decoding": {...}, "prompts": [{"tokens": [...], "budget": 9, "seed": 1}, ...]}
                  a line per answer as it is done: {"index", "text", "tokens", "finished"};
                                                                                 {"done": true}
    {"op": "load", "path": "..."}            replaces the weights in place       {"done": true}

What goes wrong comes back as {"error": "..."}, and the worker ends: after an error nobody knows
what vLLM still holds. It ends also when standard input does, as it does if the caller dies. It is
started as the leader of a process group.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from importlib.util import find_spec
from typing import Any

PATIENCE_S = 5
"""Time that vLLM has to end in order, once nobody listens."""


class Lines:
    """Requests from standard input, read next to the work, so that its end is noticed at once."""

    def __init__(self) -> None:
        self.ended = False
        self._requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """The next request; None when no more will come."""
        return self._requests.get()

    def _read(self) -> None:
        for line in sys.stdin:
            self._requests.put(json.loads(line))
        self.ended = True
        self._requests.put(None)
        time.sleep(PATIENCE_S)  # this thread ends with the process, where that ends by itself
        os.killpg(os.getpid(), signal.SIGKILL)


class Worker:
    """One vLLM engine."""

    def __init__(self, arguments: dict[str, Any], lines: Lines) -> None:
        if find_spec("vllm") is None:
            raise ModuleNotFoundError(f"found no vLLM in {sys.prefix}")
        from vllm.platforms import current_platform

        self._on_cpu = current_platform.is_cpu()
        if self._on_cpu:
            # In this process: starts in half the time, and OMP_NUM_THREADS holds, which vLLM's
            # own processes replace by one thread per core.
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            arguments = {"enforce_eager": True} | arguments
        from vllm import LLM

        self._lines = lines
        self._engine = LLM(**arguments).llm_engine

    def load(self, request: dict[str, Any]) -> None:
        """Replace the weights by those of another folder; nothing computed with the old stays."""
        self._engine.collective_rpc("reload_weights", kwargs={"weights_path": request["path"]})
        if self._on_cpu:
            self._engine.apply_model(renew_heads)
        if not self._engine.reset_prefix_cache():
            raise RuntimeError("vLLM kept its prefix cache over a change of weights")

    def generate(self, request: dict[str, Any]) -> None:
        """Put all prompts into the engine, and send each answer when it is done."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest
        from vllm.sampling_params import RequestOutputKind

        put_on = request["adapter"]
        adapter = LoRARequest(str(put_on["id"]), put_on["id"], put_on["path"]) if put_on else None
        for index, prompt in enumerate(request["prompts"]):
            settings = SamplingParams(
                **request["decoding"], max_tokens=prompt["budget"], seed=prompt["seed"],
                output_kind=RequestOutputKind.FINAL_ONLY,
            )  # fmt: skip
            tokens = {"prompt_token_ids": prompt["tokens"]}
            self._engine.add_request(str(index), tokens, settings, lora_request=adapter)
        while self._engine.has_unfinished_requests():
            if self._lines.ended:
                raise EOFError("the caller is gone")
            for output in self._engine.step():
                send(answer(output))


def renew_heads(model: Any) -> None:
    """Have a head that is tied to the embedding follow its new weights.

    On a CPU, vLLM multiplies by a copy of the weights in another layout. It renews the copies of
    the layers that it has loaded, and a tied head is not among them: it would stay the old model's.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def answer(output: Any) -> dict[str, Any]:
    """What vLLM says of a finished request."""
    (written,) = output.outputs
    if written.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"vLLM ended an answer with '{written.finish_reason}'")
    return {
        "index": int(output.request_id),
        "text": written.text,
        "tokens": len(written.token_ids),
        "finished": written.finish_reason == "stop",
    }


def answers_alone() -> Any:
    """Standard output for answers alone: what libraries print there goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def send(line: dict[str, Any]) -> None:
    """Send one answer."""
    ANSWERS.write(json.dumps(line) + "\n")
    ANSWERS.flush()


def main() -> None:
    """Answer requests until there are no more."""
    lines = Lines()
    try:
        first = lines.next()
        if first is None:
            return
        worker = Worker(first["arguments"], lines)
        send({"ready": True})
        while request := lines.next():
            {"generate": worker.generate, "load": worker.load}[request["op"]](request)
            send({"done": True})
    except Exception as error:
        traceback.print_exc()
        send({"error": " ".join(f"{type(error).__name__}: {error}".split())})
        raise SystemExit(1) from None


if __name__ == "__main__":  # vLLM's processes import this file again
    ANSWERS = answers_alone()
    main()
