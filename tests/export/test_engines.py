"""TensorRT without TensorRT: names, profiles, cache, configs, and what is said without it."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

import emoserve_export.engines
from emoserve_export import cli
from emoserve_export.catalogue import FACE, PNET, TEXT
from emoserve_export.configs.generate import network_config
from emoserve_export.engines.cache import EngineCache
from emoserve_export.engines.cuda import Cuda
from emoserve_export.engines.profiles import Profile, profile_of
from emoserve_export.engines.publishing import (
    Machine,
    bounds_of,
    plan_file,
    publish_engines,
    tensorrt_config,
)
from emoserve_export.errors import DeclarationError, RepositoryError, UnavailableError

SOURCES = Path(emoserve_export.engines.__file__).parent
# Objects of TensorRT that the sources hold, by the names they have there.
HOLDERS = {"trt", "builder", "network", "config", "parser", "runtime", "engine", "context", "made"}


def attribute_chain(node: ast.Attribute) -> list[str]:
    names: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute | ast.Call):
        if isinstance(inner, ast.Attribute):
            names.append(inner.attr)
            inner = inner.value
        else:
            inner = inner.func
    return [*names, inner.id] if isinstance(inner, ast.Name) and inner.id in HOLDERS else []


def names_used() -> set[str]:
    """Return every attribute that build.py and run.py take of an object of TensorRT."""
    used: set[str] = set()
    for name in ("build.py", "run.py"):
        for node in ast.walk(ast.parse((SOURCES / name).read_text())):
            if isinstance(node, ast.Attribute):
                used |= set(attribute_chain(node)[:-1])
    return used


@pytest.fixture(scope="module")
def bindings() -> bytes:
    """The text of TensorRT's Python bindings: the extension module and what is around it."""
    spec = importlib.util.find_spec("tensorrt_bindings")
    if spec is None or spec.origin is None:
        pytest.skip("the bindings are not installed: pip install tensorrt_cu12_bindings")
    folder = Path(spec.origin).parent
    return (folder / "tensorrt.so").read_bytes() + (folder / "__init__.py").read_bytes()


def test_every_tensorrt_name_is_in_the_bindings(bindings: bytes) -> None:
    used = names_used()
    assert {"STRONGLY_TYPED", "TF32", "execute_async_v3", "set_timing_cache", "nptype"} <= used
    missing = {
        name
        for name in used
        if f"{name}\0".encode() not in bindings and f"def {name}(".encode() not in bindings
    }
    assert missing == set()


def test_a_name_that_is_not_there_would_be_noticed(bindings: bytes) -> None:
    assert b"build_cuda_engine\0" not in bindings


def test_where_tensorrt_is_missing_it_says_which_container_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is here")
    assert cli.main(["--target", "tensorrt", "--repository", str(tmp_path)]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "come with NVIDIA's container tensorrt:26.07-py3" in said
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu_the_cuda_runtime_says_so() -> None:
    with pytest.raises(UnavailableError, match=r"none of \['no-such-library.so'\] loads"):
        Cuda(["no-such-library.so"])
    if Path("/dev/nvidiactl").exists():
        pytest.skip("there is a GPU")
    found = sorted(Path(site()).glob("nvidia_pytriton.libs/libcudart*"))
    assert found, "the pytriton wheel carries a CUDA runtime"
    with pytest.raises(UnavailableError, match="CUDA says: "):
        Cuda(found)


def site() -> Path:
    spec = importlib.util.find_spec("pytriton")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


def test_profiles_follow_the_batch_range_and_the_axes() -> None:
    text = profile_of(network_config(TEXT, "gpu"), bounds_of(TEXT))
    assert text.inputs["input_ids"] == ((1, 1), (8, 32), (64, 128))
    face = profile_of(network_config(FACE, "gpu"), bounds_of(FACE))
    assert face.inputs["face"] == ((1, 1, 48, 48), (8, 1, 48, 48), (64, 1, 48, 48))
    picture = profile_of(network_config(PNET, "gpu"), bounds_of(PNET))
    assert picture.inputs["image"] == ((1, 3, 12, 12), (8, 3, 384, 384), (64, 3, 1536, 1536))
    with pytest.raises(DeclarationError, match="input_ids dimension 0 has no bounds"):
        profile_of(network_config(TEXT, "gpu"), {})


def test_an_engine_is_cached_by_graph_profile_version_and_gpu(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, "11.4.0", "9.0")
    profile = Profile({"x": ((1, 3), (8, 3), (64, 3))})
    path = cache.plan(b"graph", profile)
    assert path.parent.name == "trt11.4.0-cc9.0"
    assert cache.read(path) is None
    cache.write(path, b"plan")
    assert cache.read(path) == b"plan"
    others = {
        cache.plan(b"other", profile),
        cache.plan(b"graph", Profile({"x": ((1, 3), (4, 3), (64, 3))})),
        EngineCache(tmp_path, "11.4.0", "8.0").plan(b"graph", profile),
        EngineCache(tmp_path, "10.13.3", "9.0").plan(b"graph", profile),
    }
    assert len(others | {path}) == 5


def test_plans_of_several_gpus_stand_side_by_side() -> None:
    assert plan_file("9.0") == "model_cc90.plan"
    config = network_config(FACE, "gpu")
    first = tensorrt_config(config, {"8.0": plan_file("8.0")})
    both = tensorrt_config(first, {"9.0": plan_file("9.0")})
    assert dict(both.cc_model_filenames) == {"8.0": "model_cc80.plan", "9.0": "model_cc90.plan"}
    assert both.platform == "tensorrt_plan"
    assert both.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert (both.default_model_filename, len(both.parameters)) == ("", 0)
    assert not both.HasField("optimization")  # it is ONNX Runtime's
    assert list(both.input) == list(config.input)
    assert both.output[0].label_filename == "emotion.labels.txt"


def test_engines_need_a_network_that_is_exported(tmp_path: Path) -> None:
    machine = Machine(object(), EngineCache(tmp_path / "cache", "11.4.0", "9.0"))  # type: ignore[arg-type]
    with pytest.raises(RepositoryError, match="face_net is not exported yet"):
        publish_engines([FACE], tmp_path / "repo", machine)


def test_engines_and_verify_need_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, emoserve_export.engines.publishing, emoserve_export.replay, "
        "emoserve_export.cli, emoserve_export.cli_verify;"
        "assert not {'torch', 'onnx', 'onnxruntime'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
