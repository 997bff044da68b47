"""The `api` engine: an OpenAI-compatible server that the user runs, such as `vllm serve`."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from alpharl.errors import EvaluationError
from alpharl.evaluation.engines.engine import Answer, Decoding, Generate, Prompt
from alpharl.evaluation.engines.settings import EngineSettings
from alpharl.redact import words

if TYPE_CHECKING:
    from alpharl.variants.store import Variant

CONNECT_SECONDS = 30
"""To wait for a server to accept a connection."""
_SAID = 300
"""Characters that are told of a server's words; they hold no prompt, which was sent as tokens."""
_ADDRESS = re.compile(r"https?://([\w.-]+|\[[\da-fA-F:.]+\])(:\d+)?(/\S*)?")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,79}")
_LONG_WORD = 16
"""Letters of a word at least that may be a key, as those are that begin with AKIA."""


class Api(EngineSettings):
    """An OpenAI-compatible server that you run, such as `vllm serve`. It scores adapters on its
    base, or models that it serves."""

    engine: Literal["api"] = "api"
    url: str
    """Address of the server, such as http://localhost:8000/v1."""
    key_variable: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the server's key, if it wants one."""

    @field_validator("url", mode="after")
    @classmethod
    def _without_secrets(cls, url: str) -> str:
        """Refuse what does not belong into an address; the error does not repeat it."""
        if "@" in url or "?" in url or "#" in url:
            raise ValueError(
                "found a user, a password or a query in the address, expected none: reports and "
                "commands repeat it; put the key into the environment variable that "
                "'key_variable' names"
            )
        if not _ADDRESS.fullmatch(url):
            raise ValueError(
                "found no address, expected one such as http://localhost:8000/v1; correct it"
            )
        return url

    @field_validator("key_variable", mode="after")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        """Refuse what may be a key; the error does not repeat it."""
        if not _VARIABLE.fullmatch(name) or (len(name) >= _LONG_WORD and "_" not in name):
            raise ValueError(
                "found something else than the name of a variable, expected one of capital "
                "letters, digits and underscores, such as OPENAI_API_KEY; if it is the key itself, "
                "put it into such a variable"
            )
        return name

    seed_note = (
        "a seed goes with each request; whether the server heeds it, and how much rounding "
        "depends on what it answers beside, is the server's affair"
    )
    incidental = EngineSettings.incidental | {"url", "key_variable"}
    remote = True

    @property
    def answer_settings(self) -> dict[str, Any]:
        """Engine and precision.

        With what once were the arguments of vLLM for all engines, so that older results count.
        """
        return {**super().answer_settings, "vllm": {}}

    def open(self, base: Path, longest: int, gpus: int, rank: int) -> ApiEngine:
        """Ask the server what it serves."""
        return ApiEngine(base, self.url, self.key_variable, self.batch_size)


class ApiEngine:
    """Asks a server for completions of token prompts; puts adapters on its base where it may."""

    def __init__(self, base: Path, url: str, key_variable: str, requests: int) -> None:
        """Ask the server what it serves.

        Args:
            base: model folder of step 0.
            url: address of the server.
            key_variable: environment variable of the server's key.
            requests: that are under way at once.

        Raises:
            EvaluationError: no server answers.
        """
        import httpx2
        from openai import OpenAI

        self._url = url.rstrip("/")
        self._key = os.environ.get(key_variable, "none")
        # A long answer may take its time; only a server that is not there is given up.
        limit = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        self._client = OpenAI(base_url=self._url, api_key=self._key, max_retries=5, timeout=limit)
        self._base, self._requests = base, requests
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
        with _in_words(self._url, self._key):
            # Nothing is lost yet where nobody answers: that is told soon.
            client = self._client.with_options(max_retries=1)
            return [model.model_dump() for model in client.models.list()]

    def _served(self, folder: Path) -> str:
        """The name under which the server has a model folder."""
        models = self._models()
        for model in models:
            root = model.get("root") or model["id"]
            if os.path.realpath(root) == os.path.realpath(folder):
                return str(model["id"])
        served = ", ".join(str(model.get("root") or model["id"]) for model in models)
        raise EvaluationError(
            f"{self._url}: found a server of {served}, expected one of {folder}; start "
            f"`vllm serve {folder}`, or score with engine hf or vllm"
        )

    def _version(self) -> str:
        """The server's version, where it tells one."""
        import httpx2

        self._models()
        try:
            answer = httpx2.get(f"{self._url.removesuffix('/v1')}/version", timeout=10)
            return str(answer.json()["version"])
        except (httpx2.HTTPError, ValueError, KeyError, TypeError):
            return "unknown"

    def _adapter(self, what: str, body: dict[str, str]) -> None:
        from openai import APIStatusError

        with _in_words(self._url, self._key):
            try:
                self._client.post(f"/{what}_lora_adapter", body=body, cast_to=str)
            except APIStatusError as error:
                said = words(error, _SAID, self._key)
                raise EvaluationError(
                    f"{self._url}: could not {what} adapter {body['lora_name']} ({said}); start "
                    "`vllm serve` with --enable-lora, --max-lora-rank, and "
                    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment, on a machine that sees "
                    "this folder"
                ) from None

    def _generator(self, name: str) -> Generate:
        def generate(prompts: Sequence[Prompt], decoding: Decoding) -> Iterator[tuple[int, Answer]]:
            with ThreadPoolExecutor(self._requests) as pool:
                indices = {
                    pool.submit(self._complete, name, prompt, decoding): index
                    for index, prompt in enumerate(prompts)
                }
                try:
                    for future in as_completed(indices):
                        yield indices[future], future.result()
                finally:
                    pool.shutdown(cancel_futures=True)

        return generate

    def _complete(self, name: str, prompt: Prompt, decoding: Decoding) -> Answer:
        # What is not sent, vLLM takes from the model's generation_config.json.
        plain = {"top_k": decoding.top_k, "min_p": 0.0, "repetition_penalty": 1.0}
        with _in_words(self._url, self._key):
            completion = self._client.completions.create(
                model=name, prompt=list(prompt.tokens), max_tokens=prompt.budget, seed=prompt.seed,
                temperature=decoding.temperature, top_p=decoding.top_p,
                stop=list(decoding.stop) or None, extra_body=plain,
            )  # fmt: skip
        choice, usage = completion.choices[0], completion.usage
        tokens = usage.completion_tokens if usage else 0
        return Answer(choice.text, tokens, choice.finish_reason != "length")


@contextmanager
def _in_words(url: str, key: str) -> Iterator[None]:
    """Tell an error of the server, or that there is none, in one line."""
    from openai import APIConnectionError, OpenAIError

    try:
        yield
    except APIConnectionError:
        raise EvaluationError(
            f"{url}: found no server that answers; start it, or correct 'url'"
        ) from None
    except OpenAIError as error:
        raise EvaluationError(
            f"{url}: found an error, expected an answer: {words(error, _SAID, key)}"
        ) from None
