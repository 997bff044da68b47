FACTORS_VERSION = 3
"""Algorithm version of factor files; raised when their numbers would change."""
GRAM_VERSION = 3
"""Algorithm version of gram files; raised when their numbers would change."""
AUDIT_VERSION = 2
"""Algorithm version of the audit; raised when it would say something else."""
