FETCH_VERSION = 1
"""Version of fetched questions; raised when their files would change."""
SUITE_VERSION = 3
"""Version of a suite's file; raised when its questions would change."""
SCORE_VERSION = 5
"""Version of scoring; raised when its numbers would change."""
TOKENS_VERSION = 2
"""Version of the token-level analyses."""
