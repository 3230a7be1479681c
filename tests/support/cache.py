"""What tests fetch once and then keep in the user's cache directory."""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def kept(name: str, fetch: Callable[[Path], None]) -> Path:
    """A folder of the user's cache directory.

    If this machine has none yet, `fetch` makes it: under another name, so that an interrupted download is never taken
    for a whole one.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kafka-email"
    folder = cache / name
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            if not folder.is_dir():  # another run may have fetched it while this one waited
                with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as scratch:
                    fetched = Path(scratch, "fetched")
                    fetch(fetched)
                    fetched.rename(folder)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
