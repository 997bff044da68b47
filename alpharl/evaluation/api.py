"""The `api` engine: an OpenAI-compatible server that the user runs, such as `vllm serve`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx2
from openai import APIConnectionError, APIStatusError, OpenAI, OpenAIError

from alpharl.errors import EvaluationError
from alpharl.evaluation.engine import Answer, Decoding, Generate, Prompt
from alpharl.evaluation.settings import Evaluation
from alpharl.variants.store import Variant

CONNECT_SECONDS = 30
"""To wait for a server to accept a connection."""


class ApiEngine:
    """Asks a server for completions of token prompts; puts adapters on its base where it may."""

    def __init__(self, base: Path, evaluation: Evaluation) -> None:
        """Ask the server what it serves.

        Args:
            base: model folder of step 0.
            evaluation: `url`, `key_variable`, and `batch_size` requests at once.

        Raises:
            EvaluationError: no server answers.
        """
        self._url = str(evaluation.url).rstrip("/")
        key = os.environ.get(evaluation.key_variable, "none")
        # A long answer may take its time; only a server that is not there is given up.
        limit = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        self._client = OpenAI(base_url=self._url, api_key=key, max_retries=5, timeout=limit)
        self._base, self._requests = base, evaluation.batch_size
        self.versions = {"openai": version("openai"), "server": self._version()}

    def close(self) -> None:
        """Close the connections; the server runs on."""
        self._client.close()

    @contextmanager
    def model(self, source: Path | Variant) -> Iterator[Generate]:
        """The model of a folder or a variant, if the server has it or can put it on its base.

        Raises:
            EvaluationError: it is neither.
        """
        if isinstance(source, Path):
            yield self._generator(self._served(source))
        elif source.pure_adapter and source.adapter:
            self._served(self._base)  # an adapter on any other model would be a wrong result
            # Never a name that a killed job, or another one, has left there.
            name = f"alpharl-{uuid.uuid4().hex}"
            self._adapter("load", {"lora_name": name, "lora_path": str(source.adapter.absolute())})
            try:
                yield self._generator(name)
            finally:
                self._adapter("unload", {"lora_name": name})
        else:
            raise EvaluationError(
                f"{source.folder}: found a variant that is no adapter, expected an adapter or a "
                f"model that {self._url} serves; score it with engine hf or vllm"
            )

    def _models(self) -> list[dict[str, Any]]:
        try:
            return [model.model_dump() for model in self._client.models.list()]
        except OpenAIError as error:
            raise _refused(self._url, error) from None

    def _served(self, folder: Path) -> str:
        """The name under which the server has a model folder."""
        models = self._models()
        for model in models:
            root = model.get("root") or model["id"]
            if os.path.realpath(root) == os.path.realpath(folder):
                return str(model["id"])
        found = ", ".join(str(model.get("root") or model["id"]) for model in models)
        raise EvaluationError(
            f"{self._url}: found a server of {found}, expected one of {folder}; start "
            f"`vllm serve {folder}`, or score with engine hf or vllm"
        )

    def _version(self) -> str:
        """The server's version, where it tells one."""
        self._models()
        try:
            answer = httpx2.get(f"{self._url.removesuffix('/v1')}/version", timeout=10)
            return str(answer.json()["version"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return "unknown"

    def _adapter(self, what: str, body: dict[str, str]) -> None:
        try:
            self._client.post(f"/{what}_lora_adapter", body=body, cast_to=str)
        except APIStatusError as error:
            raise EvaluationError(
                f"{self._url}: could not {what} adapter {body['lora_name']} ({_line(error)}); "
                "start `vllm serve` with --enable-lora, --max-lora-rank, and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment, on a machine that sees "
                "this folder"
            ) from None
        except OpenAIError as error:
            raise _refused(self._url, error) from None

    def _generator(self, name: str) -> Generate:
        def generate(prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
            with ThreadPoolExecutor(self._requests) as pool:
                asked = {
                    pool.submit(self._complete, name, prompt, decoding): index
                    for index, prompt in enumerate(prompts)
                }
                try:
                    for future in as_completed(asked):
                        yield asked[future], future.result()
                finally:
                    pool.shutdown(cancel_futures=True)

        return generate

    def _complete(self, name: str, prompt: Prompt, decoding: Decoding) -> Answer:
        # What is not sent, vLLM takes from the model's generation_config.json.
        plain = {"top_k": decoding.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
        try:
            found = self._client.completions.create(
                model=name, prompt=list(prompt.tokens), max_tokens=prompt.budget, seed=prompt.seed,
                temperature=decoding.temperature, top_p=decoding.top_p,
                stop=list(decoding.stop) or None, extra_body=plain,
            )  # fmt: skip
        except OpenAIError as error:
            raise _refused(self._url, error) from None
        choice, usage = found.choices[0], found.usage
        tokens = usage.completion_tokens if usage else 0
        return Answer(choice.text, tokens, choice.finish_reason != "length")


def _refused(url: str, error: OpenAIError) -> EvaluationError:
    if isinstance(error, APIConnectionError):
        return EvaluationError(f"{url}: found no server that answers; start it, or mend 'url'")
    return EvaluationError(f"{url}: found an error, expected an answer: {_line(error)}")


def _line(error: OpenAIError) -> str:
    """The server's words on one line; they never hold a prompt, which was sent as tokens."""
    return " ".join(str(error).split())[:300]
