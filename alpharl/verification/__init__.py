"""Whether a study's results are what was written, and what the weights say again."""
