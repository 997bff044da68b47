RANK_VERSION = 2
"""Algorithm version of rank-k models and controls; raised when their numbers would change."""
TRUTH_VERSION = 2
"""Algorithm version of forecast weights against trained ones; raised likewise."""
