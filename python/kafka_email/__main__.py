"""The command line: ``kafka-email``, or ``python -m kafka_email``."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, program: str = "kafka-email") -> None:
    """Run the command line, and exit.

    Args:
        arguments: Those of the process when None.
        program: How its texts name it.
    """
    try:
        import click  # noqa: F401
    except ImportError:
        sys.exit(f"{program}: the command line needs click: pip install 'kafka-email[cli]'")
    try:
        from kafka_email.cli import run

        code = run(sys.argv[1:] if arguments is None else arguments, program)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
