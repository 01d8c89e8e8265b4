"""What `--tune` tried, as a table and as a picture of speed against error."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from emoserve_export.tune import Trial, fastest

LEAST_ERROR = 1e-7  # float32's own


def trials_table(network: str, trials: Sequence[Trial]) -> Table:
    """Return one row for each candidate; the published one is marked."""
    table = Table(title=f"{network}: precisions on this machine, one thread, against fp32")
    table.add_column("precision", no_wrap=True)
    sizes = sorted({size for trial in trials for size in trial.speed})
    for heading in ("MB", *(f"speed x{size}" for size in sizes), "max abs", "cosine", "argmax"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("metric", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    best = fastest(trials)
    for trial in trials:
        table.add_row(*_cells(trial, sizes, best), style="bold" if trial is best else None)
    return table


def _cells(trial: Trial, sizes: Sequence[int], best: Trial) -> list[str]:
    verdict = "published" if trial is best else escape(trial.problem) or "inside the budget, slower"
    if trial.excluded:
        verdict += f"; {len(trial.excluded)} nodes in fp32"
    if not trial.speed:
        return [trial.precision, *["-"] * (5 + len(sizes)), verdict]
    return [
        trial.precision,
        f"{trial.size_bytes / 1e6:.2f}",
        *(f"{trial.speed[size]:.2f}" for size in sizes),
        f"{trial.max_absolute:.1e}",
        f"{trial.cosine:.4f}",
        f"{trial.agreement:.3f}",
        "-" if trial.metric is None else f"{trial.metric:.4f}",
        verdict,
    ]


def plot_trials(network: str, trials: Sequence[Trial], path: Path) -> None:
    """Write a picture: speed against largest error, a cross where a candidate is refused.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for trial in (trial for trial in trials if trial.speed):
        error = max(trial.max_absolute, LEAST_ERROR)
        marker = "x" if trial.problem else "o"
        axes.scatter(error, trial.score, marker=marker, s=60, label=trial.precision)
        axes.annotate(trial.precision, (error, trial.score), (6, 4), textcoords="offset points")
    axes.axhline(1.0, color="grey", linewidth=0.8)
    axes.set_xscale("log")
    axes.margins(x=0.35, y=0.15)  # room for the names
    axes.set_xlabel("largest difference from the trained network's output")
    axes.set_ylabel("speed, fp32 = 1")
    axes.set_title(f"{network}: speed against error (cross: outside the budget)", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
