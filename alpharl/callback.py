"""Watches a run of a transformers or TRL trainer: factors, gram and verdict at every save.

    from alpharl.callback import Watch
    trainer.add_callback(Watch(base="models/base", out="watch"))

A training run is worth more than its watch: whatever goes wrong here is logged once, the watch
stops, and training goes on as it would have without.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from alpharl.checkpoints.identity import made_from, require_unchanged
from alpharl.checkpoints.index import read_index
from alpharl.checkpoints.sources import at_steps, find_steps
from alpharl.dynamics.accuracy import accuracy_of
from alpharl.errors import CheckpointError, MethodError
from alpharl.failures import is_foreseen, line_of
from alpharl.forecasting.trust import Verdict
from alpharl.names import checkpoint_name
from alpharl.spectra import FACTORS_VERSION, GRAM_VERSION
from alpharl.spectra.depth import Depth
from alpharl.spectra.factors import Settings, write_factors
from alpharl.spectra.gram import MAKER, Gram, extend_gram, read_gram, write_gram
from alpharl.spectra.lowrank import read_metadata
from alpharl.trajectory import Trajectory

LOG = logging.getLogger(__name__)


class Watch(TrainerCallback):
    """Keeps `out/gram.safetensors` and `out/factors/step-<step>.safetensors` up to date.

    At each save it factors the new checkpoint, extends the gram by its row, and logs the verdict
    (`alpharl.forecasting.trust`) and what all that cost: a line at level INFO, and numbers named
    `alpharl/...` in the trainer's `log_history`. `alpharl forecast` and `alpharl trust` take the
    files with `--gram` and `--factors`.

    A row needs the weights of all earlier checkpoints, so that the trainer must keep them: no
    `save_total_limit`, and models or LoRA adapters as safetensors. Of several processes only
    the main one works, and the others wait for it. A resumed run goes on with the files in `out`; a
    run from step 0 replaces them.
    """

    def __init__(
        self,
        base: str | Path,
        out: str | Path,
        rank: int = 8,
        target_step: int | None = None,
        metric: str | None = None,
    ) -> None:
        """Watch the updates of the model in the folder `base`.

        Args:
            base: folder of the model that training starts from.
            out: folder for the gram and the factors, a run's own.
            rank: triplets of each matrix of scope `paper`.
            target_step: what the verdict is about; the trainer's `max_steps` unless given.
            metric: name of an accuracy between 0 and 1 in the trainer's logs, such as
                `eval_accuracy`, or `reward` of GRPO with a 0/1 reward. It counts at the steps at
                which it is logged, and the verdict needs it at the saved ones. Other numbers end
                the watch with a warning.

        Raises:
            CheckpointError: the base is no folder with safetensors weights.
            MethodError: the rank is not positive.
        """
        read_index(Path(base))
        if rank < 1:
            raise MethodError(f"found rank {rank}, expected at least 1; factors need a triplet")
        self._base, self._out, self._depth = Path(base), Path(out), Depth(rank)
        self._target, self._metric = target_step, metric

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock; what was saved before is looked up at the first save."""
        self._began, self._spent, self._stopped = time.monotonic(), 0.0, False
        self._resumed, self._saved = state.global_step, list[int]()
        self._gram = Gram([], {})

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Bring the files up to the checkpoint that the trainer has just written."""
        if self._stopped or not state.is_world_process_zero:
            return
        try:
            self._look(f"{args.output_dir}/checkpoint-{{step}}", state)
        # Also what nobody thought of, such as a full disk, must not end somebody's training.
        except Exception as error:
            self._stopped = True
            LOG.warning(
                "alpharl stops watching at step %d, training goes on: %s", state.global_step,
                line_of(error, "report what follows"), exc_info=not is_foreseen(error),
            )  # fmt: skip

    def _look(self, pattern: str, state: TrainerState) -> None:
        began, stamp = time.monotonic(), self._stamp(pattern)
        if not self._saved:
            self._go_on(pattern, stamp)
        self._saved.append(state.global_step)
        folders = at_steps(pattern, self._saved)
        _require_kept(folders)
        self._factor({s: p for s, p in folders.items() if s not in self._gram.steps})
        factored = time.monotonic()
        models = made_from(self._base, folders)
        self._gram = extend_gram(self._gram, self._base, folders)
        require_unchanged(models)
        write_gram(self._gram, self._file, models, watch=stamp)
        extended = time.monotonic()
        verdict = self._verdict(pattern, state)
        ended = time.monotonic()
        seconds = {
            "factors": factored - began, "gram": extended - factored, "verdict": ended - extended,
        }  # fmt: skip
        self._spent += ended - began
        self._report(state, verdict, seconds, self._spent / (ended - self._began))

    @property
    def _file(self) -> Path:
        return self._out / "gram.safetensors"

    def _stamp(self, pattern: str) -> dict[str, Any]:
        """What the files in `out` are made from; others are not gone on with."""
        return {
            "base": str(self._base), "checkpoints": pattern, "version": GRAM_VERSION,
            "factors": FACTORS_VERSION, "depth": asdict(self._depth),
        }  # fmt: skip

    def _go_on(self, pattern: str, stamp: dict[str, Any]) -> None:
        """Take up the gram that an earlier part of this run has left, and its checkpoints."""
        self._saved = [s for s in find_steps(pattern) if 0 < s <= self._resumed]
        if not self._file.is_file() or read_metadata(self._file, MAKER).get("watch") != stamp:
            return
        gram = read_gram([self._file])
        known = [step for step in gram.steps if step <= self._resumed]
        # A checkpoint that the gram holds may be deleted by now: it counts, and is missed.
        saved = sorted({*self._saved, *known})
        if known and saved[: len(known)] == known:
            self._gram, self._saved = gram.upto(known), saved

    def _factor(self, new: dict[int, Path]) -> None:
        files = {
            step: self._out / "factors" / f"{checkpoint_name(step)}.safetensors" for step in new
        }
        models = made_from(self._base, new)
        write_factors(self._base, new, Settings(self._depth), files, models)

    def _verdict(self, pattern: str, state: TrainerState) -> Verdict | None:
        """The verdict on the target; None once it is reached."""
        target = self._target or state.max_steps
        if target <= state.global_step:
            return None
        logged = {
            int(entry["step"]): entry[self._metric]
            for entry in state.log_history
            if self._metric in entry
        }
        # Refused where it is no accuracy, as a reward above 1.
        folders = at_steps(pattern, self._gram.steps)
        accuracy = {s: a for s, a in accuracy_of(logged).items() if s == 0 or s in folders}
        run = Trajectory.open(self._base, folders, accuracy, gram=self._gram, progress=False)
        return run.verdict(target)

    def _report(
        self, state: TrainerState, verdict: Verdict | None, seconds: dict[str, float], share: float
    ) -> None:
        costs = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        LOG.info(
            "alpharl at step %d of %d: %s; %s, %.1f %% of the time spent training so far",
            state.global_step, state.max_steps, _words(verdict), costs, 100 * share,
        )  # fmt: skip
        numbers = {f"{name}_seconds": value for name, value in seconds.items()} | {"share": share}
        if verdict:
            numbers |= {"supported": float(verdict.supported), "forecast_step": verdict.step}
        entry = {f"alpharl/{name}": value for name, value in numbers.items()}
        # Not through `Trainer.log`: TRL's would give out, and clear, its half-collected metrics.
        state.log_history.append({**entry, "epoch": state.epoch, "step": state.global_step})


def _words(verdict: Verdict | None) -> str:
    """The verdict and what speaks against it, short."""
    if verdict is None:
        return "no verdict, the target step is reached"
    against = ", ".join(e.name for e in verdict.evidence if not e.speaks_for)
    return verdict.lines[0] + (f" (against: {against})" if against else "")


def _require_kept(folders: dict[int, Path]) -> None:
    """Refuse to go on without a checkpoint's weights.

    Raises:
        CheckpointError: a folder is not there.
    """
    for path in folders.values():
        if not path.is_dir():
            raise CheckpointError(
                f"{path}: no such folder, expected every checkpoint, for the gram's next row needs "
                "them all; keep them (save_total_limit=None)"
            )
