"""Whether the answers of a run were right: against the data's labels, and against the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from emoserve_client import EmotionClient
from emoserve_loadtests.calls import ask
from emoserve_loadtests.media import Corpus
from emoserve_loadtests.rows import Rows

# MLPerf's usual quality target: 99 % of the reference's accuracy (MLPerf Inference Rules, 7.1).
QUALITY = 0.99


def reference_answers(client: EmotionClient, corpus: Corpus, pipeline: str) -> dict[int, str]:
    """Return what the idle pipeline says to each of its items, one after the other."""
    return {index: ask(client, corpus.items[index]) for index in corpus.of(pipeline)}


def accuracy(
    rows: Rows, corpus: Corpus, reference: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """Return shares of right answers among those that came, by pipeline.

    `labelled`: requests whose item has a label of the data, and the share that gave it. With
    `reference` also the share of all that equals what the idle server said to the same item, and
    its own share of right labels on the same requests.
    """
    found = {}
    for name in sorted(set(rows["pipeline"].tolist())):
        told = rows[(rows["pipeline"] == name) & (rows["error"] == b"")]
        items, answers = told["item"].tolist(), [one.decode() for one in told["answer"]]
        labels = [corpus.items[item].label for item in items]
        has = [at for at, label in enumerate(labels) if label]
        one: dict[str, Any] = {
            "answers": len(answers),
            "labelled": len(has),
            "label_accuracy": _share(answers[at] == labels[at] for at in has),
        }
        if reference is not None:
            one["agreement"] = _share(
                answer == reference[item] for item, answer in zip(items, answers, strict=True)
            )
            one["reference_label_accuracy"] = _share(
                reference[items[at]] == labels[at] for at in has
            )
        found[name.decode()] = one
    return found


def _share(right: Any) -> float | None:
    values = list(right)
    return round(float(np.mean(values)), 4) if values else None
