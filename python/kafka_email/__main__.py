"""The command line: ``kafka-email``, or ``python -m kafka_email``."""

import sys


def main() -> None:
    """Run the command line, and exit."""
    try:
        import click  # noqa: F401
    except ImportError:
        sys.exit("kafka-email: the command line needs click: pip install 'kafka-email[cli]'")
    try:
        from kafka_email.cli import run

        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
