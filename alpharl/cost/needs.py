"""What each job of a study needs: the rules ask for it, and `alpharl check --cost` adds it up.

Estimates err upwards. Memory is what a job holds at its peak; time is bytes and floating point
operations over rates that a slow file system and an old GPU still reach. A profile's `retries`
submits a job that was killed for either with more of both.
"""

from __future__ import annotations

from alpharl.cost.need import Need
from alpharl.cost.rates import CPU, FLOAT32, GIB, GPU_SPECTRA, PROCESS, READ, START, rate
from alpharl.cost.scoring import scoring
from alpharl.cost.sizes import Size, is_there, size_of
from alpharl.cost.training import training
from alpharl.study.forecasts import ForecastVariant
from alpharl.study.plan import Plan

_PRODUCTS = 200
"""Products of an update with a vector until its leading triplets are found, each with a transposed
one."""
_TRIALS = 20
"""Models that a forecast which tries some has scored at most."""


class Needs:
    """What each job of a study needs, by rule."""

    def __init__(self, plan: Plan) -> None:
        """Nothing is read before the first question."""
        self._plan, self._study = plan, plan.study
        self._sizes: dict[str, Size] = {}

    def size(self, run: str) -> Size:
        """Size of a run's models. An assumed one is looked for again: it may be there by now."""
        size = self._sizes.get(run)
        if size is None or (not size.known and is_there(self._plan, run)):
            size = self._sizes[run] = size_of(self._plan, run)
        return size

    def threads(self, run: str) -> int:
        """Threads of a job that computes with a run's models; fewer where the machine has fewer.

        A model of a million weights, as those pretrained here are, gains nothing from a second.
        """
        return 1 if self._study.bases[self._study.runs[run].base].pretrain else 4

    def pretrain(self) -> Need:
        """A small model, its gradients and moments."""
        return Need(PROCESS + 2 * GIB, 600, 64e6, gpus=min(self._study.gpus, 1))

    def manifest(self, run: str) -> Need:
        """Digests of a model's files."""
        return Need(PROCESS, self.size(run).checkpoint / READ, 1e4)

    def bases(self, base: str) -> Need:
        """The same of a base, which is as large as the checkpoints that come of it."""
        return self.manifest(
            next(run for run, spec in self._study.runs.items() if spec.base == base)
        )

    def merge(self, run: str) -> Need:
        """verl holds all shards and the merged model."""
        both = 2 * FLOAT32 * self.size(run).parameters
        return Need(PROCESS + 2 * both, START + 3 * both / READ, both / 2)

    def train(self, run: str) -> Need:
        """A run that is trained here."""
        spec = self._study.runs[run].train
        if spec is None:
            raise KeyError(run)
        steps, gpu = self._plan.steps(run), self._study.gpus > 0
        return training(self.size(run), spec, len(steps), self.threads(run), gpu)

    def factors(self, run: str, count: int) -> Need:
        """One shard of `count` checkpoints: base and checkpoint are read, updates factored."""
        size, part = self.size(run), count / self._study.spectra.shards
        memory = PROCESS + size.factor_memory + 2 * part * size.factors
        flops = _PRODUCTS * 2 * part * size.parameters
        return self._spectral(run, memory, 2 * part * size.checkpoint, flops, part * size.factors)

    def gram(self, run: str) -> Need:
        """One shard: base and all checkpoints stream past once, in pieces."""
        size, count, shards = self.size(run), len(self._plan.steps(run)), self._study.spectra.shards
        memory = PROCESS + GIB + 4 * size.gram / shards
        read = (count + 1) * size.checkpoint / shards
        flops = 2 * count**2 * size.parameters / shards
        return self._spectral(run, memory, read, flops, size.gram / shards)

    def measures(self, run: str) -> Need:
        """Base and some checkpoints stream past once, for all measures together."""
        size, saved = self.size(run), self._plan.steps(run)
        measures, threads = self._plan.measures.values(), self.threads(run)
        operations = sum(measure.operations * len(measure.steps(saved)) for measure in measures)
        read = (1 + len(self._plan.measured_steps(run, "weights"))) * size.checkpoint
        # No GPU: most of the time goes into reading, and a card would be held all the while.
        seconds = START + read / READ + operations * size.parameters / rate(0, threads, 0)
        factors = len(self._plan.measured_steps(run, "factors")) * size.factors
        gram = size.gram if any("gram" in m.reads for m in measures) else 0
        memory = PROCESS + GIB + 4 * size.factor_memory + 2 * (factors + gram)
        return Need(memory, seconds, 1e6 * len(measures), threads=threads)

    def dynamics(self, run: str) -> Need:
        """Fits on the factors and grams of all checkpoints, repeated on permuted accuracies."""
        size, count = self.size(run), len(self._plan.steps(run))
        files = count * size.factors + size.gram
        fits = (1 + self._study.dynamics.permutations) * 7 * size.layers
        seconds = 2 * files / READ + 2e4 * fits * count / CPU
        return Need(PROCESS + GIB + 3 * files, START + seconds, 5e6)

    def rank(self, run: str) -> Need:
        """Factors of some checkpoints, one after the other, become adapters."""
        factors, variants = self.size(run).factors, self._plan.rank_variants(run)
        moved = (2 * len({variant.step for variant in variants}) + len(variants)) * factors
        return Need(PROCESS + 4 * factors, START + moved / READ, len(variants) * factors)

    def forecasts(self, run: str) -> Need:
        """All quick fits of a run, one after the other."""
        fits = [self.forecast(run, forecast) for forecast in self._plan.quick_forecasts(run)]
        seconds = START + sum(fit.seconds - START for fit in fits)
        return Need(max(fit.memory for fit in fits), seconds, sum(fit.disk for fit in fits))

    def forecast(self, run: str, forecast: ForecastVariant) -> Need:
        """A fit on factors and grams; of a method that tries models, their scores too."""
        size = self.size(run)
        seen = sum(step <= forecast.through for step in self._plan.steps(run))
        files = seen * size.factors + size.gram
        fit = Need(PROCESS + GIB + 3 * files, START + 2 * files / READ, size.factors)
        if "suite" not in forecast.reads:
            return fit
        tried = self.evaluate(run, self._study.validation_suite, _TRIALS)
        return Need(
            fit.memory + tried.memory, fit.seconds + tried.seconds, fit.disk,
            tried.scratch, tried.threads, tried.gpus,
        )  # fmt: skip

    def truth(self, run: str) -> Need:
        """The weights of each forecast and of its target, tensor by tensor."""
        size, steps = self.size(run), self._plan.steps(run)
        reads = len(self._plan.known(run)) * (1 + len(steps) / 2) + 1
        seconds = reads * size.checkpoint / READ + 10 * reads * size.parameters / CPU
        return Need(PROCESS + GIB + 4 * size.factor_memory, START + seconds, 1e6)

    def evaluate(self, run: str, suite: str, models: int) -> Need:
        """So many models on a suite."""
        study = self._study
        return scoring(
            self.size(run), study.suites[suite], study.evaluation, models, self.threads(run),
            study.gpus,
        )  # fmt: skip

    def tokens(self, run: str) -> Need:
        """Saved answers are read by each model, and continued by the base."""
        models = 2 * (1 + len(self._plan.token_variants(run)))
        return self.evaluate(run, str(self._study.tokens.suite), models)

    def _spectral(self, run: str, memory: float, read: float, flops: float, disk: float) -> Need:
        gpus, threads = min(self._study.gpus, 1), self.threads(run)
        seconds = START + read / READ + flops / rate(gpus, threads, GPU_SPECTRA)
        return Need(memory, seconds, disk, threads=threads, gpus=gpus)
