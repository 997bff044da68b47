"""The parser of a verb: help that stands alone, errors of one line."""

from __future__ import annotations

import argparse
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from alpharl.errors import nearest
from alpharl.verbs.result import Result

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: found, expected, and where help is."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: error: {message}; see '{self.prog} --help'\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print help or an error; unlike argparse's, a full disk behind it is an error."""
        if message and file is not None:
            with suppress(BrokenPipeError):
                file.write(message)


def parser_of(verb: str, module: ModuleType) -> Parser:
    """The parser of a verb's module: its docstring, its arguments, its example."""
    parser = Parser(
        prog=f"alpharl {verb}",
        description=module.__doc__,
        epilog=f"for example:\n  {module.EXAMPLE}" if module.EXAMPLE else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # A script that shortens an option would break with the next option that begins alike.
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS,
        help="show where in the code an error comes from",
    )  # fmt: skip
    return parser


def parse(parser: Parser, arguments: list[str]) -> dict[str, object]:
    """The arguments by name; an unknown one is refused with the nearest that there is."""
    options = [name for action in parser._actions for name in action.option_strings]
    for argument in arguments:
        name = argument.partition("=")[0]
        # Before argparse looks: it would only say which required ones are lacking.
        if name[:2] == "--" and len(name) > 2 and name not in options:
            parser.error(f"found '{name}', which is no option of it, {nearest(name, options)}")
    values, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(f"found '{unknown[0]}', expected no further argument")
    return {name: value for name, value in vars(values).items() if name != "debug"}


def prints(parser: argparse.ArgumentParser, result: type[Result]) -> None:
    """Say what the verb's function returns, and add `--json`, which prints that as JSON."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(result=result)
