"""Fewer bits: what is made, what is held to the budget, what is published."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, numpy_helper
from safetensors.torch import save_file
from torch import nn

from emoserve_ensemble.networks import LocalNetworks
from emoserve_ensemble.runtimes import Runtime, read_runtime
from emoserve_export.conversion import Converted, convert
from emoserve_export.declaration import (
    Budget,
    Evaluation,
    Network,
    Precision,
    Tensor,
    axes,
)
from emoserve_export.errors import ParityError, UnavailableError
from emoserve_export.exporting import Choices, export
from emoserve_export.manifest import read_manifest
from emoserve_export.precision import GROUP, MULTIPLE, Quantiser, openvino
from emoserve_export.samples import Samples, network_samples, task_metric
from emoserve_export.sensitivity import divergence
from emoserve_export.sensitivity import wanted as agreement_wanted
from emoserve_export.sessions import open_session
from emoserve_export.variants import compared, in_precision
from emoserve_export.weights.source import Checkpoint

from .conftest import Declare


def operators(model: ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def test_each_precision_is_what_it_says(converted: Converted, samples: Samples) -> None:
    made = {
        name: in_precision(converted, name, samples).model  # type: ignore[arg-type]
        for name in ("fp32", "fp16", "int8_dynamic", "int8_static")
    }
    assert made["fp32"] is converted.model
    kinds = {tensor.data_type for tensor in made["fp16"].graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    assert "Cast" in operators(made["fp16"])
    assert "MatMulIntegerToFloat" in operators(made["int8_dynamic"])
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators(made["int8_static"])
    for name, model in made.items():
        assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT, name
        assert [value.name for value in model.graph.output] == ["emotion", "embedding"]
        onnx.checker.check_model(model, full_check=True)


def test_a_node_that_is_left_out_keeps_float32(converted: Converted, samples: Samples) -> None:
    network, model = converted.network, converted.model
    for precision in ("int8_dynamic", "int8_static"):
        with Quantiser(network, model, precision, samples.calibration) as quantiser:
            none = quantiser.quantised(quantiser.nodes).model
            kinds = {tensor.data_type for tensor in none.graph.initializer}
        assert kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}, precision


def test_what_gives_the_classes_stays_in_float32(converted: Converted, samples: Samples) -> None:
    with Quantiser(converted.network, converted.model, "int8_static", samples.calibration) as made:
        assert len(made.nodes) == 2
        assert made.heads == made.nodes[1:]
    assert list(in_precision(converted, "int8_static", samples).excluded) == made.heads


class Uneven(nn.Module):
    """float32 [batch, 1, 8, 8] -> three probabilities; INT8 loses all weights of `second` but one.

    That one is 2,000 times the others and reads a channel that is always zero.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            self.first.bias[0] = -1000.0
            self.second.weight[:, 0] = 1000.0
            self.head.weight *= 100.0
            usual = self.embedding(torch.rand(64, 1, 8, 8) ** 2).mean(dim=0)
            self.head.bias.copy_(-self.head.weight @ usual)  # so that all classes occur

    def embedding(self, picture: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.second(torch.relu(self.first(picture))))
        return inner.mean(dim=(2, 3))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.head(self.embedding(picture)), dim=1)


def test_the_node_that_moves_the_classes_most_is_left_out_first(
    variant: Declare, tmp_path: Path
) -> None:
    save_file(Uneven().state_dict(), str(tmp_path / "uneven.safetensors"))
    checkpoint = (Checkpoint(tmp_path / "uneven.safetensors"),)
    emotion = (Tensor("emotion", "float32", axes("batch", classes=3), "probability", (0, 1)),)
    uneven = convert(variant(build=Uneven, checkpoint=checkpoint, outputs=emotion))
    pictures = np.random.default_rng(3).uniform(0, 1, (400, 1, 8, 8)).astype(np.float32) ** 2
    answer = open_session(uneven.model).run({"picture": pictures})["emotion"].argmax(1)
    assert np.bincount(answer).max() < 300
    samples = Samples({"picture": pictures}, Evaluation({"picture": pictures}, answer, "emotion"))
    with Quantiser(uneven.network, uneven.model, "int8_static", samples.calibration) as made:
        _first, second, head = made.nodes
    assert set(in_precision(uneven, "int8_static", samples).excluded) == {second, head}


class Standardised(nn.Module):
    """float32 [batch, 1, 8, 8] -> three probabilities; the variance of a dark picture is tiny."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.first, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        variance = (picture * picture).mean(dim=(1, 2, 3), keepdim=True) + 1e-4
        inner = torch.relu(self.first(picture / variance.sqrt()))
        return torch.softmax(self.head(inner.mean(dim=(2, 3))), dim=1)


@pytest.fixture
def standardised(variant: Declare, tmp_path: Path) -> Converted:
    save_file(Standardised().state_dict(), str(tmp_path / "standardised.safetensors"))
    checkpoint = (Checkpoint(tmp_path / "standardised.safetensors"),)
    emotion = (Tensor("emotion", "float32", axes("batch", classes=3), "probability", (0, 1)),)
    return convert(variant(build=Standardised, checkpoint=checkpoint, outputs=emotion))


def activation_scales(model: ModelProto) -> dict[str, float]:
    """Return the step of each tensor that is quantised at run time."""
    constant = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {
        node.input[0]: float(constant[node.input[1]])
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in constant
    }


def test_what_comes_before_the_first_weights_keeps_float32(standardised: Converted) -> None:
    pictures = np.random.default_rng(3).uniform(-1, 1, (64, 1, 8, 8)).astype(np.float32)
    additions = [node.output[0] for node in standardised.model.graph.node if node.op_type == "Add"]
    assert additions
    with Quantiser(
        standardised.network, standardised.model, "int8_static", {"picture": pictures}
    ) as made:
        scales = activation_scales(made.quantised(made.heads).model)
    assert scales
    assert not scales.keys() & set(additions)


def test_one_extreme_item_does_not_coarsen_the_rest(converted: Converted, samples: Samples) -> None:
    def step(calibration: np.ndarray) -> float:
        given = {"picture": calibration}
        with Quantiser(converted.network, converted.model, "int8_static", given) as made:
            return max(activation_scales(made.quantised(made.heads).model).values())

    usual = samples.calibration["picture"][:64]
    extreme = usual.copy()
    extreme[0] *= 100
    assert step(usual) < step(extreme) < 20 * step(usual)


def test_divergence_grows_with_what_differs() -> None:
    rows = np.asarray([[0.5, 0.5, 0.0], [0.9, 0.05, 0.05]], np.float32)
    assert divergence(rows, rows) == 0
    assert divergence(rows, rows[::-1]) > divergence(rows, rows + np.float32(0.01)) > 0


def test_more_items_need_less_margin() -> None:
    assert agreement_wanted(0.99, 100) == agreement_wanted(0.99, 500) == 0.995
    assert 0.99 < agreement_wanted(0.99, 4000) < agreement_wanted(0.99, 2000) < 0.995


def test_int8_by_ranges_needs_real_data(converted: Converted) -> None:
    with pytest.raises(UnavailableError, match="int8_static needs real data"):
        in_precision(converted, "int8_static", None)


def test_a_variant_outside_the_budget_is_refused(converted: Converted, samples: Samples) -> None:
    strict = dataclasses.replace(
        converted, network=dataclasses.replace(converted.network, budget=Budget(cosine=1.0))
    )
    made = in_precision(strict, "int8_static", samples)
    with pytest.raises(ParityError, match="int8_static cosine"):
        compared(strict, made, "int8_static", samples)


def test_a_lost_point_of_the_task_metric_is_refused(converted: Converted, samples: Samples) -> None:
    wrong = dataclasses.replace(converted.network, budget=Budget(-1.0, 0.0, 0.0))
    strict = dataclasses.replace(converted, network=wrong)
    made = in_precision(strict, "fp16", samples)
    with pytest.raises(ParityError, match=r"task metric down by 0.00 points, at most -1.0"):
        compared(strict, made, "fp16", samples)


def test_what_was_published_in_fewer_bits_stays_so(
    tiny: Network, samples: Samples, tmp_path: Path
) -> None:
    evaluation = samples.evaluation
    np.savez(
        tmp_path / "tiny_net.npz",
        **evaluation.inputs,
        **{"target": evaluation.target, "calibration/picture": samples.calibration["picture"]},
    )
    repository = tmp_path / "repo"
    chosen = Choices(with_steps=False, precision="int8_static", samples=tmp_path)
    report = export([tiny], repository, chosen)
    assert {row.stage for row in report.rows} == {"onnx", "int8_static"}
    lost = [row.lost_points for row in report.rows if row.output == "emotion"]
    assert lost[0] == 0.0
    assert export([tiny], repository, Choices(with_steps=False)).skipped == ["tiny_net"]
    record = read_manifest(repository).record("tiny_net")
    assert record is not None
    assert record["precision"] == "int8_static"
    anew = Choices(with_steps=False, force=True)
    with pytest.raises(UnavailableError, match="give --samples, or choose another --precision"):
        export([tiny], repository, anew)
    export([tiny], repository, dataclasses.replace(anew, samples=tmp_path))
    record = read_manifest(repository).record("tiny_net")
    assert record is not None
    assert record["precision"] == "int8_static"
    again = export([tiny], repository, Choices(with_steps=False, precision="fp32"))
    assert again.versions == {"tiny_net": 2}  # the one before gave the same bytes


@pytest.mark.parametrize(
    ("precision", "computed_in"), [("openvino_bf16", "bf16"), ("openvino_int8", "fp32")]
)
def test_what_openvino_runs_best_is_published_with_its_runtime(
    tiny: Network, samples: Samples, tmp_path: Path, precision: Precision, computed_in: str
) -> None:
    pytest.importorskip("openvino")
    evaluation = samples.evaluation
    calibration = {"calibration/picture": samples.calibration["picture"]}
    np.savez(
        tmp_path / "tiny_net.npz", **evaluation.inputs, target=evaluation.target, **calibration
    )
    repository = tmp_path / "repo"
    chosen = Choices(with_steps=False, precision=precision, samples=tmp_path)
    report = export([tiny], repository, chosen)
    assert {row.stage for row in report.rows} == {"onnx", precision}
    assert read_runtime(repository / "tiny_net" / "1") == Runtime(
        "openvino", computed_in, single=True
    )
    assert "tiny_net/1/runtime.json" in read_manifest(repository).files
    LocalNetworks(repository, ["tiny_net"]).check()


def test_openvino_says_which_extra_brings_it(
    converted: Converted, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"emoserve\[openvino\]"):
        in_precision(converted, "openvino_bf16", samples)


def test_a_transformer_in_openvino_keeps_its_graph(converted: Converted) -> None:
    pytest.importorskip("openvino")
    network = dataclasses.replace(converted.network, kind="transformer")
    made = in_precision(dataclasses.replace(converted, network=network), "openvino_int8", None)
    assert made.model is converted.model
    assert made.runtime == Runtime("openvino", "bf16", GROUP)


@pytest.mark.parametrize(("longest", "multiple"), [(512, MULTIPLE), (50, 1)])
def test_only_what_stays_in_range_is_filled_up(tiny: Network, longest: int, multiple: int) -> None:
    ids = Tensor("ids", "int64", axes("batch", tokens=(1, longest)))
    network = dataclasses.replace(tiny, inputs=(ids,), masked=True)
    assert openvino(network, "bf16").multiple == multiple
    assert openvino(dataclasses.replace(network, masked=False), "bf16").multiple == 1


def test_quantising_twice_gives_the_same_bytes(converted: Converted, samples: Samples) -> None:
    first, second = (
        in_precision(converted, "int8_static", samples).model.SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


def test_samples_are_split_without_overlap(variant: Declare, tmp_path: Path) -> None:
    pictures = np.arange(40 * 64, dtype=np.float32).reshape(40, 1, 8, 8)
    np.savez(tmp_path / "tiny_net.npz", picture=pictures, target=np.zeros(40, int))
    found = network_samples(variant(), tmp_path)
    assert found is not None
    first = set(found.calibration["picture"][:, 0, 0, 0])
    rest = set(found.evaluation.inputs["picture"][:, 0, 0, 0])
    assert (len(first), len(rest), first & rest) == (10, 30, set())
    assert network_samples(variant(), None) is None


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("accuracy", 4 / 6), ("macro_recall", (2 / 3 + 1 / 2 + 1) / 3), ("weighted_f1", 0.6667)],
)
def test_task_metrics(metric: str, expected: float) -> None:
    target, predicted = np.asarray([0, 0, 0, 1, 1, 2]), np.asarray([0, 0, 1, 1, 0, 2])
    evaluation = Evaluation({}, target, "emotion", metric)  # type: ignore[arg-type]
    assert task_metric(evaluation, predicted) == pytest.approx(expected, abs=1e-4)
