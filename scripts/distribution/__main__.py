"""Builds the source distribution and, from it, the wheel, twice: the two have to be equal. Checks all claims."""

import sys
from pathlib import Path

from scripts.distribution import build
from scripts.distribution.check import ClaimError, check

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target" / "dist"


def main() -> int:
    """0 if everything that is claimed holds."""
    sdist = build.source_distribution(ROOT, TARGET)
    wheel = build.wheel(sdist, TARGET)
    print(f"\n{wheel.name}, built from {sdist.name}")
    try:
        check(wheel, ROOT)
        again = build.wheel(sdist, TARGET / "again")
        if again.read_bytes() != wheel.read_bytes():
            raise ClaimError(f"a second build differs: compare {again} with {wheel}")
        print("  reproducible: a second build from scratch has the same bytes")
    except ClaimError as broken:
        print(f"the wheel is not what it claims to be: {broken}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
