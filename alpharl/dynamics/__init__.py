VERSION = 5
"""Algorithm version of the dynamics table; raised when its numbers would change."""
