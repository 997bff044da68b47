PRETRAIN_VERSION = 2
"""Algorithm version of pretraining; raised when the same recipe would give another base."""
TRAIN_VERSION = 2
"""Algorithm version of training; raised when the same recipe would give another run."""
