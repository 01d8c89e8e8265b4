"""The runtime that a version's folder names runs its network, and another takes its place."""

import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from emoserve_ensemble import runtimes
from emoserve_ensemble.networks import LocalNetworks, newest_version
from emoserve_ensemble.runtimes import OnnxRuntime, Runtime, open_network, read_runtime

IN_BF16 = Runtime("openvino", "bf16")
IN_INT8 = Runtime("openvino", "bf16", group=128, kept=("node_linear_37",), multiple=8)


def copied(repository: Path, name: str, to: Path, runtime: Runtime) -> Path:
    """Copy one network's newest version, to be run in another runtime; return its folder."""
    version = newest_version(repository / name)
    folder = to / name / version.name
    shutil.copytree(repository / name, to / name)
    (folder / runtimes.FILE).write_bytes(runtime.to_json())
    return folder


def sentences(words: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(words)
    ids = rng.integers(1000, 20_000, (3, words))
    mask = np.ones_like(ids)
    mask[0, words // 2 :] = 0
    return {"input_ids": ids * mask, "attention_mask": mask}


@pytest.mark.parametrize("runtime", [Runtime("openvino"), IN_BF16, IN_INT8])
def test_openvino_answers_like_onnx_runtime(repository, tmp_path, runtime) -> None:
    pytest.importorskip("openvino")
    folder = copied(repository, "text_net", tmp_path, runtime)
    assert read_runtime(folder) == runtime
    network, reference = open_network(folder), OnnxRuntime(folder / runtimes.GRAPH, 1)
    assert not isinstance(network, OnnxRuntime)
    for words in (5, 8, 13):  # filled up to a multiple of 8, and not
        inputs = sentences(words)
        answer, expected = network.run(inputs), reference.run(inputs)
        assert answer.keys() == expected.keys()
        for name, value in expected.items():
            tolerance = 1e-4 if runtime.precision == "fp32" else 0.15
            np.testing.assert_allclose(answer[name], value, atol=tolerance, err_msg=name)
    LocalNetworks(tmp_path, ["text_net"]).check()


def test_items_one_after_the_other_answer_like_a_batch(repository, tmp_path) -> None:
    pytest.importorskip("openvino")
    folder = copied(repository, "speech_net", tmp_path, Runtime("openvino", single=True))
    network, reference = open_network(folder), OnnxRuntime(folder / runtimes.GRAPH, 1)
    for items in (1, 3):
        sounds = np.random.default_rng(items).uniform(-60, 10, (items, 64, 300)).astype(np.float32)
        answer, expected = network.run({"log_mel": sounds}), reference.run({"log_mel": sounds})
        assert answer.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(answer[name], value, atol=1e-3, err_msg=name)
    LocalNetworks(tmp_path, ["speech_net"]).check()


def test_onnx_runtime_takes_the_place_of_what_is_not_installed(
    repository, tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.delitem(sys.modules, "emoserve_ensemble.openvino_session", raising=False)
    monkeypatch.setitem(sys.modules, "openvino", None)
    folder = copied(repository, "text_net", tmp_path, IN_INT8)
    with caplog.at_level(logging.WARNING):
        assert isinstance(open_network(folder), OnnxRuntime)
    assert "pip install 'emoserve[openvino]'" in caplog.text
    LocalNetworks(tmp_path, ["text_net"]).check()


def test_another_networks_answer_is_not_golden_in_fewer_bits(repository, tmp_path) -> None:
    folder = copied(repository, "fusion_net", tmp_path, IN_BF16)
    with np.load(folder / "golden.npz") as golden:
        stored = {name: golden[name] for name in golden.files}
    stored["graph/emotion"] = stored["graph/emotion"][:, ::-1]
    np.savez(folder / "golden.npz", **stored)
    with pytest.raises(ValueError, match="fusion_net: output emotion differs"):
        LocalNetworks(tmp_path, ["fusion_net"]).check()


def test_an_unknown_runtime_is_named(tmp_path) -> None:
    (tmp_path / runtimes.FILE).write_text('{"name": "tvm"}')
    with pytest.raises(ValueError, match="runtime 'tvm' in 'fp32': known are onnxruntime, openv"):
        read_runtime(tmp_path)
    assert read_runtime(tmp_path / "nothing") == Runtime()
