"""A Hugging Face folder (`config.json`, `model.safetensors`, `tokenizer.json`) as a declaration.

Supported are BERT encoders (`model_type` bert, MiniLM among them) and
`BertForSequenceClassification`. Nothing of the `transformers` package is needed.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emoserve_ensemble.labels import CANONICAL
from emoserve_export.declaration import Arrays, Labels, Network, Preprocessing, Tensor, axes
from emoserve_export.errors import CheckpointError
from emoserve_export.weights.source import Checkpoint

if TYPE_CHECKING:
    from torch import nn

TOKENIZER = "tokenizer.json"
CLASSIFIER = "BertForSequenceClassification"
ACCEPTED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
LONGEST_SAMPLE = 40


def hugging_face(folder: Path, name: str, *, output: str = "emotion", **fields: Any) -> Network:
    """Return the declaration of the network in a Hugging Face folder.

    A classifier gives `output`, its labels from `id2label`, and `embedding`; any other BERT gives
    `embedding`, the mean over the tokens. The tokenizer is published beside the graph.

    Args:
        fields: other fields of `Network`, such as `licence`.

    Raises:
        CheckpointError: a file is missing, or the architecture is not supported.
    """
    config = _config(folder)
    labels = _labels(config) if CLASSIFIER in config.get("architectures", []) else None
    declared: dict[str, Any] = {
        "name": name,
        "build": _builder(config, len(labels.names) if labels else 0),
        "checkpoint": (_weights(folder, classifier=labels is not None),),
        "inputs": _inputs(config),
        "outputs": _outputs(config, output, labels),
        "labels": {output: labels} if labels else {},
        "samples": _sampler(int(config["vocab_size"]), int(config["max_position_embeddings"])),
        "files": {TOKENIZER: Checkpoint(folder / TOKENIZER)},
        "preprocessing": Preprocessing(f"{name}_tokens_v1", "the folder's own tokenizer.json"),
        "kind": "transformer",
        "masked": True,
        "unpad": "leave_out_padding",
    }
    return Network(**(declared | fields))


def _config(folder: Path) -> dict[str, Any]:
    absent = [
        n for n in ("config.json", "model.safetensors", TOKENIZER) if not (folder / n).is_file()
    ]
    if absent:
        raise CheckpointError(str(folder), [f"{name}: missing" for name in absent])
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    wrong = [
        f"config.json: {key} is {config.get(key, wanted)!r}; {wanted!r} is accepted"
        for key, wanted in ACCEPTED.items()
        if config.get(key, wanted) != wanted
    ]
    if wrong:
        raise CheckpointError(str(folder), wrong)
    return config


def _labels(config: dict[str, Any]) -> Labels:
    """Return `id2label` in order; they are emotions where all of them have a canonical name."""
    named = config.get("id2label", {})
    names = tuple(str(named[key]).lower() for key in sorted(named, key=int))
    return Labels(names, "emotions" if set(names) <= CANONICAL.keys() else None)


def _builder(config: dict[str, Any], classes: int) -> "Callable[[], nn.Module]":
    def build() -> "nn.Module":
        from emoserve_export.networks.bert import BertSize
        from emoserve_export.networks.bert_classifier import BertClassifier, BertEncoder

        size = BertSize(
            vocabulary=config["vocab_size"],
            positions=config["max_position_embeddings"],
            types=config.get("type_vocab_size", 2),
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            layers=config["num_hidden_layers"],
            intermediate=config["intermediate_size"],
            norm_epsilon=config.get("layer_norm_eps", 1e-12),
        )
        return BertClassifier(size, classes) if classes else BertEncoder(size)

    return build


def _weights(folder: Path, classifier: bool) -> Checkpoint:
    if classifier:
        renames = {"bert.pooler.": "pooler."}
        return Checkpoint(folder, renames=renames, ignore=("*.position_ids",))
    ignore = ("pooler.*", "bert.pooler.*", "*position_ids")
    return Checkpoint(folder, prefix="bert.", renames={"bert.": ""}, ignore=ignore)


def _inputs(config: dict[str, Any]) -> tuple[Tensor, ...]:
    tokens = axes("batch", tokens=(1, int(config["max_position_embeddings"])))
    last = int(config["vocab_size"]) - 1
    return (
        Tensor("input_ids", "int64", tokens, "word pieces", (0, last)),
        Tensor("attention_mask", "int64", tokens, "1 where a token is", (0, 1)),
    )


def _outputs(config: dict[str, Any], name: str, labels: Labels | None) -> tuple[Tensor, ...]:
    hidden = int(config["hidden_size"])
    embedding = Tensor("embedding", "float32", axes("batch", embedding=hidden))
    if labels is None:
        return (embedding,)
    classes = axes("batch", classes=len(labels.names))
    return (Tensor(name, "float32", classes, "probability", (0, 1)), embedding)


def _sampler(vocabulary: int, positions: int) -> Callable[[int, int], Arrays]:
    def samples(items: int, seed: int) -> Arrays:
        rng = np.random.default_rng(seed)
        lengths = rng.integers(2, min(LONGEST_SAMPLE, positions), items)
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)  # [items, tokens]
        return {"input_ids": rng.integers(0, vocabulary, mask.shape) * mask, "attention_mask": mask}

    return samples
