"""Whether a base has the layers and the depth that a study asks for, from its header alone."""

from __future__ import annotations

from alpharl.checkpoints.index import ModelIndex
from alpharl.errors import StudyError
from alpharl.spectra.scope import matrices
from alpharl.study.config import Study


def require_layers(study: Study, run: str, base: ModelIndex) -> None:
    """Refuse a run that trains layers, or has components read, which its base has not.

    Args:
        study: that asks for them.
        run: of which they are.
        base: the run's.

    Raises:
        StudyError: names the layers, or the component.
    """
    spec = study.runs[run].train
    if spec and spec.lora and isinstance(spec.lora.targets, list):
        layers = {f".{name}".removesuffix(".weight") for name in base.tensors}
        # PEFT fails where none is found, and not where some are.
        if not any(layer.endswith(f".{name}") for name in spec.lora.targets for layer in layers):
            raise StudyError(
                f"run '{run}': found lora.targets {', '.join(spec.lora.targets)[:80]}, expected "
                f"layers of {base.folder}, such as q_proj; correct the names"
            )
    most = max((min(m.shape) for m in matrices(base, study.spectra.scope).values()), default=0)
    deepest = max(study.rank.components, default=0)
    if deepest > most:
        raise StudyError(
            f"rank.components: found {deepest}, expected at most {most}, as many as the largest "
            f"matrix of {base.folder} has; leave it out"
        )
