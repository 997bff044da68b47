"""Predict where RL training of language models is going, and whether to trust the prediction."""

from importlib.metadata import version

__version__ = version("alpharl")
