"""Prints the directory of the Python library that the Rust tests load, or what to install if it is missing."""

import sys
import sysconfig
from pathlib import Path

directory = Path(sysconfig.get_config_var("LIBDIR"))
library = directory / sysconfig.get_config_var("LDLIBRARY")
if not library.exists():
    sys.exit(f"missing for the Rust tests: {library} (package python3-dev)")
print(directory)
