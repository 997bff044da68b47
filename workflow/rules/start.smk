# What is done when a run starts and when it fails.
from pathlib import Path

from alpharl import locks
from alpharl.slurm import jobs as slurm_jobs

held = []  # the study's lock lasts as long as its file is open


onstart:
    # Snakemake 9 limits job starts to 100 a second by default. While it does, each job that ends adds
    # one look at all ready jobs to every second of the rest of the run: soon that fills a core.
    workflow.scheduler.job_rate_limiter = None
    # Snakemake's own lock outlives a killed process; this one ends with it (see profiles/README.md).
    try:
        held.append(locks.take(Path(paths.lock)))
    except Exception as error:
        sys.exit(f"error: {line_of(error, AGAIN)}")
    if held[0] is None:
        sys.exit(
            f"error: another snakemake runs study '{study.study}'; wait for it or stop it"
        )
    executors = map(workflow.scheduler.get_executor, workflow.dag.needrun_jobs())
    names = {e.run_uuid for e in executors if hasattr(e, "run_uuid")}  # SLURM's
    try:
        slurm_jobs.claim(paths.root, sorted(names))
    except Exception as error:
        sys.exit(f"error: {line_of(error, AGAIN)}")


onerror:
    # An interrupt in the moment of a status check leaves SLURM jobs behind.
    try:
        slurm_jobs.cancel_left(paths.root)
    except Exception as error:
        print(f"error: {line_of(error, AGAIN)}", file=sys.stderr)
