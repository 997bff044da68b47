"""Lets a trainer of transformers or TRL train a run, and go on where a killed one stopped."""

from __future__ import annotations

from accelerate.utils import broadcast_object_list
from transformers import PrinterCallback, Trainer

from alpharl.errors import StudyError
from alpharl.training.checkpoints import SaveCheckpoints
from alpharl.training.processes import is_main
from alpharl.training.progress import Progress
from alpharl.training.resume import find_state, remove_state, stamp
from alpharl.training.setup import Setup


def run_trainer(setup: Setup, trainer: Trainer, period: int) -> None:
    """Train to the end of the run, from the trainer's stored state if there is one that fits.

    Args:
        setup: the run.
        trainer: made of it.
        period: see `alpharl.training.checkpoints.SaveCheckpoints`.

    Raises:
        StudyError: this is not one of as many processes as the recipe says.
    """
    spec, out = setup.spec, setup.out
    if trainer.args.world_size != spec.processes:
        raise StudyError(
            f"processes: found {trainer.args.world_size} that train together, expected "
            f"{spec.processes}; run 'alpharl train', which starts them"
        )
    # Of several processes one looks, as looking clears away what is of no use.
    states = [find_state(out, stamp(setup), spec.processes) if is_main() else None]
    state = broadcast_object_list(states)[0]
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(SaveCheckpoints(spec.saved_steps(), period, setup.tokenizer, out))
    if is_main():
        trainer.add_callback(Progress(spec.algorithm, out))
    trainer.train(resume_from_checkpoint=str(state) if state else None)
    trainer.accelerator.wait_for_everyone()
    if is_main():
        remove_state(out)
