# After all rules. Snakemake looks two dozen times for each job at what arguments its rule's functions
# take, which costs as much as an eighth of a large plan. Here it is looked at once.
import inspect

from snakemake.common import overwrite_function_params
from snakemake.resources import Resource


def read_once(function):
    overwrite_function_params(function, inspect.signature(function).parameters)


read_once(Resource.evaluate)
for _rule in workflow.rules:
    for _function in filter(callable, (*_rule.input, *_rule.params)):
        read_once(_function)
