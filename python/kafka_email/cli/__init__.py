"""The command line. Needs the extra ``cli``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from kafka_email._core import __version__
from kafka_email.cli.check import check
from kafka_email.cli.dev import dev
from kafka_email.cli.dlt import dlt
from kafka_email.cli.errors import ABORTED, Failed, one_line
from kafka_email.cli.render import render
from kafka_email.cli.topics import topics
from kafka_email.cli.worker import worker

__all__ = ["commands", "run"]

_CLOSED_PIPE = 1
"""As click has it."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kafka-email")
def commands() -> None:
    """Delivers the e-mails that applications ask for through Kafka.

    The environment configures all commands: KAFKA_..., KAFKA_WORKER_... and SMTP_...
    """


for _command in (worker, dev, check, render, topics, dlt):
    commands.add_command(_command)


def run(arguments: Sequence[str], program: str) -> int:
    """Run the command that the arguments name, and return the exit code.

    A failure is one line on standard error, which says what to do, and never a traceback.

    Args:
        arguments: Those of the command line.
        program: How its texts name it.
    """
    try:
        code = commands.main(arguments, prog_name=program, standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        return ABORTED
    except BrokenPipeError:
        # Python writes what is left when it exits; nobody would read that either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    except Failed as failure:
        failure.show()
        return failure.code
    except click.ClickException as error:  # an unknown command or option
        error.show()
        return error.exit_code
    except Exception as error:  # whatever it is, a traceback helps no user
        unforeseen = one_line(error)
        unforeseen.show()
        return unforeseen.code
    return code if isinstance(code, int) else 0
