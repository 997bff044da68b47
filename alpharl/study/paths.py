"""Where everything lies under `<results>/<study>/`. The only module that knows file names."""

from __future__ import annotations

from dataclasses import dataclass

from alpharl.names import checkpoint_name
from alpharl.study.config import Study


@dataclass(frozen=True)
class Paths:
    """File names of one study. Arguments may be Snakemake wildcards such as `{run}`."""

    study: Study

    @property
    def root(self) -> str:
        """Folder of the study."""
        return f"{self.study.results}/{self.study.study}"

    def base_manifest(self, base: str) -> str:
        """Manifest of a base; made before anything reads the base."""
        return f"{self.root}/bases/{base}/manifest.json"

    def base_model(self, base: str) -> str:
        """Model folder of a base: the user's own, the pretrained or the fetched one."""
        return self.study.bases[base].path or f"{self.root}/bases/{base}/model"

    def run(self, run: str) -> str:
        """Folder of a run."""
        return f"{self.root}/runs/{run}"

    def checkpoint(self, run: str, step: int) -> str:
        """Model folder of a checkpoint."""
        spec = self.study.runs[run]
        if spec.made_here:
            return f"{self.checkpoints_folder(run)}/{checkpoint_name(step)}"
        return spec.source(step)

    def checkpoint_options(self, run: str) -> list[str]:
        """A run's checkpoints as verbs take them: a pattern, or the folder of each step."""
        spec = self.study.runs[run]
        if spec.made_here:
            return [f"{self.checkpoints_folder(run)}/{checkpoint_name('{step}')}"]
        if isinstance(spec.checkpoints, dict):
            return [f"{step}={spec.source(step)}" for step in spec.saved_steps()]
        return [str(spec.checkpoints)]

    def base_fetched(self, base: str) -> str:
        """What was fetched from a hub for a base: repository, commit, files."""
        return f"{self.root}/bases/{base}/fetched.json"

    def published(self, run: str) -> str:
        """What a hub lists of a run's models: commits and digests, compared before the fetch."""
        return f"{self.run(run)}/published.json"

    def checkpoint_made(self, run: str, step: int | str) -> str:
        """What a checkpoint was fetched or merged from."""
        return f"{self.run(run)}/made/{checkpoint_name(step)}.json"

    def checkpoint_manifest(self, run: str, step: int | str) -> str:
        """Manifest of a checkpoint: says that it fits its base, with the digests of its files."""
        return f"{self.run(run)}/manifests/{checkpoint_name(step)}.json"

    def checkpoints_folder(self, run: str) -> str:
        """Folder of the checkpoints of a run that are trained, fetched or merged here."""
        return f"{self.run(run)}/checkpoints"

    def training(self, run: str) -> str:
        """Curves of a run that is trained here: step, loss, reward, seconds."""
        return f"{self.checkpoints_folder(run)}/training.csv"

    def checkpoints(self, run: str) -> str:
        """The table of a run's checkpoints: steps, sources, digests."""
        return f"{self.run(run)}/checkpoints.json"

    def factors(self, run: str, step: int | str, shard: int | str) -> str:
        """Factors of one checkpoint's shard."""
        return f"{self.run(run)}/factors/{checkpoint_name(step)}/shard-{shard}.safetensors"

    def gram(self, run: str, shard: int | str) -> str:
        """Gram matrices of one shard of a run."""
        return f"{self.run(run)}/gram/shard-{shard}.safetensors"

    def audit(self, run: str) -> str:
        """What the audit says of a run's checkpoints."""
        return f"{self.run(run)}/audit.json"

    def accuracy(self, run: str, suite: str) -> str:
        """Accuracy of a run's checkpoints on a suite, step 0 among them: `step,accuracy,...`."""
        return f"{self.run(run)}/scores/{suite}.csv"

    def score(self, run: str, suite: str, variant: str) -> str:
        """One variant's result on a suite."""
        return f"{self.run(run)}/scores/{suite}/{variant}.json"

    def scores(self, run: str, suite: str) -> str:
        """Folder of a run's results on a suite."""
        return f"{self.run(run)}/scores/{suite}"

    def answers(self, run: str, suite: str, variant: str) -> str:
        """One variant's answers on a suite, kept beside its result."""
        return self.score(run, suite, variant).removesuffix(".json") + ".answers.jsonl"

    def tokens(self, run: str) -> str:
        """Folder of a run's token-level tables."""
        return f"{self.run(run)}/tokens"

    def forecast(self, run: str, name: str) -> str:
        """Folder of a forecast."""
        return f"{self.run(run)}/forecasts/{name}"

    def trials(self, run: str, name: str) -> str:
        """Folder of the answers of models that a forecast tries; no stage reads it."""
        return f"{self.run(run)}/trials/{name}"

    def truth(self, run: str) -> str:
        """Table of a run's forecast weights against trained ones, with a CSV twin."""
        return f"{self.run(run)}/truth.parquet"

    def rank(self, run: str, name: str) -> str:
        """Folder of a rank-k model or control."""
        return f"{self.run(run)}/rank/{name}"

    def dynamics(self, run: str) -> str:
        """Table of a run's trajectory fits, with a CSV twin."""
        return f"{self.run(run)}/dynamics/modules.parquet"

    def pca(self, run: str) -> str:
        """Principal components of a run's path, beside a random walk's (CSV)."""
        return f"{self.run(run)}/dynamics/pca.csv"

    def measures(self, run: str) -> str:
        """Folder of the tables of a run's measures."""
        return f"{self.run(run)}/measures"

    def measure(self, run: str, name: str) -> str:
        """Table of one measure of a run's updates, with a CSV twin."""
        return f"{self.measures(run)}/{name}.parquet"

    @property
    def data_folder(self) -> str:
        """Folder of fetched questions, which all studies share."""
        return f"{self.study.results}/data"

    def data(self, file: str) -> str:
        """Fetched questions of a task; `file` is what `data_file` names it."""
        return f"{self.data_folder}/{file}"

    def suite(self, suite: str) -> str:
        """A suite with its questions' digests."""
        return f"{self.root}/suites/{suite}/suite.json"

    @property
    def disjoint(self) -> str:
        """The check that no question stands in both a validation and a test suite."""
        return f"{self.root}/suites/disjoint.json"

    @property
    def lock(self) -> str:
        """File that a running workflow holds locked."""
        return f"{self.root}/.lock"

    @property
    def report(self) -> str:
        """The report."""
        return f"{self.root}/report/index.html"

    @property
    def resolved(self) -> str:
        """The validated study, complete with defaults."""
        return f"{self.root}/study.yaml"

    def log(self, name: str) -> str:
        """Log of a rule; `name` may hold wildcards and slashes."""
        return f"{self.root}/logs/{name}.log"

    def benchmark(self, name: str) -> str:
        """Benchmark table of a rule."""
        return f"{self.root}/benchmarks/{name}.tsv"
