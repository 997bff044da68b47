# Targets for people: `snakemake all_gram` makes one stage of every run, with all that it needs.
from alpharl.study.stages import STAGES

for _stage in STAGES:

    rule:
        name:
            f"all_{_stage.name}"
        input:
            lambda _, stage=_stage: stage.all_files(plan),
