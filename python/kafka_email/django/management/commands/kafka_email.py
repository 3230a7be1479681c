"""``manage.py kafka_email``: the command line of the package, with Django set up. Needs the extra ``cli``."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from kafka_email.__main__ import main


class Command(BaseCommand):  # type: ignore[misc]
    """Passes its arguments to the package's command line, whose output and exit codes it keeps."""

    help = "Runs the command line of kafka-email: the delivery worker and its tools."
    requires_system_checks = ()  # the command line says itself what is wrong, with its own exit code

    def run_from_argv(self, argv: list[str]) -> None:
        """Run with the arguments of ``manage.py``."""
        try:
            main(_without_options_of_django(argv[2:]), f"{Path(argv[0]).name} {argv[1]}")
        finally:
            connections.close_all()

    def print_help(self, prog_name: str, subcommand: str) -> None:
        """Print what ``manage.py help kafka_email`` shows."""
        self.run_from_argv([prog_name, subcommand, "--help"])

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take any, for ``call_command``."""
        parser.add_argument("arguments", nargs=REMAINDER)

    def handle(self, *_: Any, arguments: Sequence[str], **__: Any) -> None:
        """Run with the arguments of ``call_command``."""
        try:
            main(arguments)
        except SystemExit as end:
            if isinstance(end.code, str):
                raise CommandError(end.code) from None
            if end.code:
                raise CommandError(f"exit code {end.code}", returncode=end.code) from None


def _without_options_of_django(arguments: Sequence[str]) -> list[str]:
    """Remove the options that ``manage.py`` has already applied."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    return parser.parse_known_args(arguments)[1]
