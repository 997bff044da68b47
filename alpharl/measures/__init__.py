"""What an update is like: numbers per tensor or matrix, each with its null."""
