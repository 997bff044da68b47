"""Where updates land."""

SPARSITY_VERSION = 1
"""Algorithm version of sparsity tables; raised when their numbers would change."""
