"""The parser of a verb: help that stands alone, errors of one line."""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import NoReturn

from alpharl.errors import nearest
from alpharl.verbs.result import Result


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: found, expected, and where help is."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: error: {message}; see '{self.prog} --help'\n")


def parser_of(verb: str, module: ModuleType) -> Parser:
    """The parser of a verb's module: its docstring, its arguments, its example."""
    parser = Parser(
        prog=f"alpharl {verb}",
        description=module.__doc__,
        epilog=f"for example:\n  {module.EXAMPLE}" if module.EXAMPLE else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return parser


def parse(parser: Parser, arguments: list[str]) -> dict[str, object]:
    """The arguments by name; an unknown one is refused with the nearest that there is."""
    values, unknown = parser.parse_known_args(arguments)
    if unknown:
        options = [name for action in parser._actions for name in action.option_strings]
        hint = nearest(unknown[0].partition("=")[0], options) if unknown[0][:1] == "-" else ""
        parser.error(f"found '{unknown[0]}', which is no argument of it{hint and ', ' + hint}")
    return vars(values)


def prints(parser: argparse.ArgumentParser, result: type[Result]) -> None:
    """Say what the verb's function returns, and add `--json`, which prints that as JSON."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(result=result)
