"""Makes bases and runs: pretraining, supervised fine-tuning and RL with a verifiable reward."""
