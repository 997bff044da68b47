"""What each verb of the command line does. Heavy imports stay inside the verb that needs them."""

# ruff: noqa: F401

from alpharl.verbs.forecasts import forecast, trust
from alpharl.verbs.models import export, rank, truth, unpack
from alpharl.verbs.runs import checkpoints, manifest, pretrain, train
from alpharl.verbs.scores import accuracy, disjoint, evaluate, suite
from alpharl.verbs.spectra import dynamics, factors, floor, gram
from alpharl.verbs.study import check, methods, report
