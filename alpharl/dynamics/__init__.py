VERSION = 4
"""Algorithm version of the dynamics table; raised when its numbers would change."""
