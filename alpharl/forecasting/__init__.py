VERSION = 2
"""Algorithm version of the forecasts; raised when their numbers would change."""
