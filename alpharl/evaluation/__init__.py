SUITE_VERSION = 2
"""Version of a suite's file; raised when its questions would change."""
SCORE_VERSION = 2
"""Version of scoring; raised when its numbers would change."""
