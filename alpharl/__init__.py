"""Predict where RL training of language models is going, and whether to trust the prediction."""

__version__ = "0.2.0"
