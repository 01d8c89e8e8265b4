"""The TensorRT builder's text work, on the generated configs. Building needs a GPU and trtexec."""

from __future__ import annotations

import importlib.util

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2


@pytest.fixture(scope="module")
def builder(root):
    path = root / "k8s/overlays/gpu-tensorrt/build_engines.py"
    spec = importlib.util.spec_from_file_location("build_engines", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(root, name: str) -> str:
    return (root / "model_repository" / name / "config.pbtxt").read_text()


def test_shapes_range_over_batch_and_tokens(builder, root):
    assert builder.profile(config(root, "face_net")) == [
        "--minShapes=face:1x1x48x48",
        "--optShapes=face:16x1x48x48",
        "--maxShapes=face:64x1x48x48",
    ]
    assert builder.profile(config(root, "text_net"))[2] == (
        "--maxShapes=input_ids:64x256,attention_mask:64x256"
    )


def test_the_config_then_names_the_engine_and_keeps_the_rest(builder, root):
    for name in builder.NETWORKS:
        before, after = (
            text_format.Parse(text, model_config_pb2.ModelConfig())
            for text in (config(root, name), builder.with_engine(config(root, name)))
        )
        assert after.backend == "tensorrt"
        assert after.default_model_filename == "model.plan"
        assert not after.parameters
        assert (after.input, after.output) == (before.input, before.output)
        assert after.max_batch_size == before.max_batch_size
        assert after.dynamic_batching == before.dynamic_batching


def test_an_engine_is_cached_by_network_options_and_hardware(builder, tmp_path):
    network = tmp_path / "face_net" / "1" / "model.onnx"
    network.parent.mkdir(parents=True)
    network.write_bytes(b"one")
    first = builder.cache_name(network, ["--noTF32"], "sm90-trt10.14")
    assert first.startswith("face_net-sm90-trt10.14-")
    others = {
        builder.cache_name(network, [], "sm90-trt10.14"),
        builder.cache_name(network, ["--noTF32"], "sm89-trt10.14"),
    }
    network.write_bytes(b"two")
    others.add(builder.cache_name(network, ["--noTF32"], "sm90-trt10.14"))
    assert len({first, *others}) == 4
