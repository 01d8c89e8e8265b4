"""Silero's network written for a CPU: the same answers as the package's own graph."""

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from emoserve_export import graph
from emoserve_export.catalogue import VOICE
from emoserve_export.errors import GraphError
from emoserve_export.networks.voice import written_for_cpu
from emoserve_export.sessions import open_session


@pytest.fixture
def published() -> ModelProto:
    return graph.read_graph(VOICE, VOICE.checkpoint[0].read())


def replaced(model: ModelProto, name: str, array: np.ndarray) -> None:
    tensor = next(one for one in model.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))


@pytest.mark.parametrize("count", [1, 2, 94])
@pytest.mark.parametrize("scale", [1e-3, 0.3])
def test_it_answers_like_the_published_graph(
    published: ModelProto, count: int, scale: float
) -> None:
    rng = np.random.default_rng(count)
    given = {
        "windows": rng.normal(0, scale, (count, 576)).astype(np.float32),
        "h": rng.normal(0, 0.1, (1, 1, 128)).astype(np.float32),
        "c": rng.normal(0, 0.1, (1, 1, 128)).astype(np.float32),
    }
    wanted = open_session(published).run(given)
    written_for_cpu(published)
    onnx.checker.check_model(published, full_check=True)
    got = open_session(published).run(given)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, atol=1e-4 if name == "cn" else 1e-5)


def test_weights_of_the_model_are_read(published: ModelProto) -> None:
    given = VOICE.samples(8, 0)
    before = open_session(published).run(given)["speech"]
    replaced(published, "output.bias", np.array([3.0], np.float32))
    wanted = open_session(published).run(given)["speech"]
    written_for_cpu(published)
    np.testing.assert_allclose(open_session(published).run(given)["speech"], wanted, atol=1e-6)
    assert np.abs(wanted - before).min() > 0.01


def test_another_network_is_refused(published: ModelProto) -> None:
    replaced(published, "encoder.2.weight", np.zeros((64, 64, 5), np.float32))
    with pytest.raises(GraphError, match=r"\(64, 64, 5\).*Silero's"):
        written_for_cpu(published)


def test_another_first_convolution_is_refused(published: ModelProto) -> None:
    basis = np.random.default_rng(0).normal(size=(258, 1, 256)).astype(np.float32)
    replaced(published, "stft.forward_basis_buffer", basis)
    with pytest.raises(GraphError, match="Fourier"):
        written_for_cpu(published)
