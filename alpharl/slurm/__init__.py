"""What a SLURM cluster tells of itself, its profile, and jobs that outlive their workflow."""
