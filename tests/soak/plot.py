"""A picture of the samples: one curve below the other."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt


def plot(samples: Sequence[Sequence[float]], columns: Sequence[str], file: Path) -> None:
    """Draws each column over the first one."""
    figure, axes = plt.subplots(len(columns) - 1, 1, sharex=True, figsize=(9, 9))
    for axis, name, values in zip(axes, columns[1:], list(zip(*samples, strict=True))[1:], strict=True):
        axis.plot([row[0] for row in samples], values, linewidth=0.8)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel(columns[0])
    figure.tight_layout()
    figure.savefig(file)
