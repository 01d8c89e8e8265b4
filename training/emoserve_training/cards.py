"""Model cards: what a checkpoint is, and its measured figures, as Markdown with a picture.

All numbers on a card come from the evaluation that is handed in; the words about data, licence
and limits come from `FACTS`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from torch import Tensor

from emoserve_training.figures import ClassFigures, class_figures, confusion
from emoserve_training.sources import FACTS


@dataclass(frozen=True)
class Evaluation:
    """One output on one split: `truth` int64 [n], `probabilities` float32 [n, labels]."""

    title: str
    labels: tuple[str, ...]
    truth: Tensor
    probabilities: Tensor


@dataclass(frozen=True)
class Card:
    """What was measured: `headline` names the figures that count, `tables` are more of them."""

    name: str
    metadata: Mapping[str, str]
    headline: Mapping[str, float]
    evaluations: Sequence[Evaluation]
    tables: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)


def write_card(card: Card, folder: Path) -> None:
    """Writes `<name>.md` and `<name>_confusion.png` into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_confusions(card, folder / f"{card.name}_confusion.png")
    (folder / f"{card.name}.md").write_text(_markdown(card), encoding="utf-8")


def draw_confusions(card: Card, path: Path) -> None:
    """Draws one confusion matrix per evaluation: rows are the truth, in shares of each row."""
    count = len(card.evaluations)
    figure, axes = pyplot.subplots(
        1, count, figsize=(5.6 * count, 5.2), squeeze=False, layout="constrained"
    )
    for axis, evaluation in zip(axes[0], card.evaluations, strict=True):
        matrix = confusion(evaluation.truth, evaluation.probabilities).double()
        shares = (matrix / matrix.sum(dim=1, keepdim=True).clamp_min(1)).numpy()
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        places = range(len(evaluation.labels))
        axis.set_xticks(places, evaluation.labels, rotation=45, ha="right")
        axis.set_yticks(places, evaluation.labels)
        axis.set_xlabel("answer")
        axis.set_ylabel("truth")
        axis.set_title(evaluation.title)
        for row in places:
            for column in places:
                ink = "white" if shares[row, column] > 0.5 else "black"
                shown = f"{shares[row, column]:.2f}"
                axis.text(column, row, shown, ha="center", va="center", color=ink, fontsize=8)
    figure.savefig(path, dpi=90, metadata={"Software": None})
    pyplot.close(figure)


def _markdown(card: Card) -> str:
    facts = FACTS[card.name]
    metadata = card.metadata
    lines = [f"# The {card.name} network, version {metadata['version']}", "", facts.what, ""]
    lines += ["| figure | value |", "|---|---|"]
    lines += [f"| {name} | {value:.4f} |" for name, value in card.headline.items()]
    lines += ["", f"![confusion matrix]({card.name}_confusion.png)", ""]
    for evaluation in card.evaluations:
        rows = class_figures(
            confusion(evaluation.truth, evaluation.probabilities), list(evaluation.labels)
        )
        lines += _class_table(evaluation.title, rows)
    for title, table in card.tables.items():
        lines += _table(title, table)
    lines += ["## Labels, in the order of the outputs", ""]
    for output, labels in json.loads(metadata["labels"]).items():
        lines.append(f"- `{output}`: {', '.join(labels)}")
    lines += ["", "## Data", "", facts.data, "", "## Licence", "", facts.licence, ""]
    lines += ["## How it was trained", "", facts.training, ""]
    lines += [f"- pre-processing: `{metadata['preprocessing']}`", f"- seed: {metadata['seed']}"]
    lines += [f"- best epoch by validation: {metadata['best_epoch']}"]
    lines += [f"- examples: {metadata['examples']}"]
    lines += [f"- {metadata['note']}"] if metadata.get("note") else []
    lines += ["", "```"]
    lines += [metadata["command"], "```", "", "## Limits", ""]
    lines += [f"- {limit}" for limit in facts.limits]
    return "\n".join(lines) + "\n"


def _class_table(title: str, rows: Sequence[ClassFigures]) -> list[str]:
    lines = [f"## {title}", "", "| class | precision | recall | F1 | examples |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {r.label} | {r.precision:.3f} | {r.recall:.3f} | {r.f1:.3f} | {r.support} |"
        for r in rows
    ]
    return [*lines, ""]


def _table(title: str, table: Mapping[str, Mapping[str, float]]) -> list[str]:
    columns = list(next(iter(table.values())))
    lines = [f"## {title}", "", "| |" + "|".join(f" {c} " for c in columns) + "|"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name, values in table.items():
        lines.append(f"| {name} |" + "|".join(f" {values[c]:.3f} " for c in columns) + "|")
    return [*lines, ""]
