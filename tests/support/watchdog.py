"""Kills a process when the one that started this script is gone, however that one ended.

The parent holds the other end of standard input and writes nothing: the end of it is the parent's end. The pidfd,
taken while the process is known to live, names that very process even when its number is given away later.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress


def watch(pid: int) -> "subprocess.Popen[bytes]":
    """Starts a watchdog for the process; end it with `dismiss` once the process has ended."""
    # Its own session: neither Ctrl-C nor a kill of the parent's process group reaches it.
    return subprocess.Popen([sys.executable, "-I", __file__, str(pid)], stdin=subprocess.PIPE, start_new_session=True)


def dismiss(watchdog: "subprocess.Popen[bytes]") -> None:
    """Ends a watchdog, whose process has been waited for."""
    watchdog.kill()
    watchdog.communicate()


def main() -> None:
    process = os.pidfd_open(int(sys.argv[1]))
    sys.stdin.read()
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
