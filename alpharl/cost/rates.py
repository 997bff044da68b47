"""Sizes and rates that the estimates stand on. They err to the slow and the large."""

GIB = 1 << 30
PROCESS = GIB
"""Bytes of Python and torch, before any weight."""
FLOAT32 = 4
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""

READ = 1e8
"""Bytes a second from a shared file system."""
CPU = 2e10
"""Floating point operations a second of one thread."""
GPU_TRAINING, GPU_SPECTRA = 2e13, 2e12
"""The same of one GPU, an old data centre card, at the share of its peak that each use reaches.
Engines say theirs."""
START = 30.0
"""Seconds until a process with torch in it works."""
STEP = 1.0
"""Seconds of a training step beside its arithmetic."""

PROMPT = 256
"""Tokens of a question."""
QUESTIONS = 1500
"""Of a task that says no number."""


def rate(gpus: int, threads: int, gpu: float) -> float:
    """Floating point operations a second of a job; `gpu` is that of one GPU."""
    return gpu * gpus if gpus else CPU * threads
