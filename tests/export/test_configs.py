"""Every config is generated, committed, and holds to its graph and the contract."""

import ast
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from emoserve_export.catalogue import CATALOGUE, FACE, FUSION, SPEECH
from emoserve_export.cli import main
from emoserve_export.configs.contract import read_contract
from emoserve_export.configs.generate import (
    LONGEST_WAIT_US,
    batch_sizes,
    config_text,
    network_config,
    step_config,
)
from emoserve_export.configs.lint import check_repository
from emoserve_export.configs.reading import read_config
from emoserve_export.configs.steps import STEPS, TEXT, VIDEO
from emoserve_export.configs.warmup import network_files
from emoserve_export.declaration import Tensor, axes
from emoserve_export.errors import RepositoryError
from emoserve_export.folders import declared_files, step_files

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "model_repository"
CONTRACT = ROOT / "docs" / "contracts.md"


@pytest.mark.parametrize("network", CATALOGUE, ids=lambda network: network.name)
def test_a_networks_files_are_committed_as_generated(network: object) -> None:
    for name, content in declared_files(network, "cpu").items():  # type: ignore[arg-type]
        path = COMMITTED / network.name / name  # type: ignore[attr-defined]
        assert path.read_bytes() == content, f"{path}: run `emoserve export`"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_steps_files_are_committed_as_generated(step: object) -> None:
    files = step_files(step, "cpu")  # type: ignore[arg-type]
    for name in ("config.pbtxt", "1/model.py"):
        path = COMMITTED / step.name / name  # type: ignore[attr-defined]
        assert path.read_bytes() == files[name], f"{path}: run `emoserve export`"


def test_adapters_name_classes_that_exist() -> None:
    folder = ROOT / "ensemble" / "emoserve_ensemble" / "steps"
    offered = {
        f"{path.stem}.{node.name}"
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    }
    assert {step.adapter for step in STEPS} <= offered


def test_text_that_is_read_back_is_the_same_config() -> None:
    for profile in ("cpu", "gpu"):
        for made in (
            *(network_config(network, profile) for network in CATALOGUE),
            *(step_config(step, profile) for step in STEPS),
        ):
            assert text_format.Parse(config_text(made), pb.ModelConfig()) == made


def test_profile_cpu_runs_networks_in_the_steps() -> None:
    config = step_config(TEXT, "cpu")
    assert config.backend == "python"
    assert config.parameters["networks"].string_value == "in_process"
    network = network_config(FACE, "cpu")
    assert network.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
    assert network.dynamic_batching.max_queue_delay_microseconds == 0


def test_a_batch_is_prepared_while_another_runs_unless_the_queue_is_bounded() -> None:
    """Triton does so only where no part of a queue policy is set (docs/decisions.md 18)."""
    free = [network_config(FACE, "cpu"), network_config(FACE, "gpu"), step_config(TEXT, "cpu")]
    assert not any(config.dynamic_batching.HasField("default_queue_policy") for config in free)
    for bounded in (network_config(FACE, "cpu", 7), step_config(TEXT, "cpu", 7)):
        policy = bounded.dynamic_batching.default_queue_policy
        assert (policy.timeout_action, policy.max_queue_size) == (pb.ModelQueuePolicy.REJECT, 7)
        # Triton takes a caller's time limit only where it is below the default.
        assert policy.allow_timeout_override
        assert policy.default_timeout_microseconds == LONGEST_WAIT_US


def test_profile_gpu_batches_networks_across_callers() -> None:
    assert network_config(FACE, "gpu").instance_group[0].kind == pb.ModelInstanceGroup.KIND_AUTO
    assert step_config(VIDEO, "gpu").parameters["networks"].string_value == "served"
    ensemble = step_config(TEXT, "gpu")
    assert ensemble.platform == "ensemble"
    names = [step.model_name for step in ensemble.ensemble_scheduling.step]
    assert names == ["text_tokens", "text_net", "text_answer"]


def test_a_gpu_holds_copies_of_the_networks_that_gain_from_it() -> None:
    """Shapes that differ from request to request stay on the CPU (docs/decisions.md 27)."""
    groups = {one.name: network_config(one, "gpu").instance_group[0] for one in CATALOGUE}
    on_cpu = {
        name for name, group in groups.items() if group.kind == pb.ModelInstanceGroup.KIND_CPU
    }
    assert on_cpu == {"face_pnet", "face_rnet", "face_onet", "voice_net"}
    assert groups["speech_net"].count > groups["fusion_net"].count > 1


def test_networks_of_one_shape_see_few_batch_sizes_on_a_gpu() -> None:
    sizes = {
        one.name: network_config(one, "gpu").parameters["cuda_batch_sizes"].string_value
        for one in CATALOGUE
    }
    assert {name for name, found in sizes.items() if found} == {
        "face_net",
        "speech_net",
        "fusion_net",
    }
    assert sizes["speech_net"] == "1,4,16,64"
    asked = network_config(SPEECH, "gpu").optimization.execution_accelerators
    (cuda,) = asked.gpu_execution_accelerator
    assert (cuda.name, dict(cuda.parameters)) == ("cuda", {"cudnn_conv_algo_search": "HEURISTIC"})
    assert not network_config(FUSION, "gpu").HasField("optimization")  # plans nothing
    assert not network_config(SPEECH, "cpu").HasField("optimization")
    frames = Tensor("log_mel", "float32", axes("batch", "frames", mels=64))
    longer = replace(SPEECH, inputs=(frames,))
    assert not network_config(longer, "gpu").parameters["cuda_batch_sizes"].string_value


@pytest.mark.parametrize(
    ("largest", "sizes"), [(1, (1,)), (4, (1, 4)), (6, (1, 4, 6)), (64, (1, 4, 16, 64))]
)
def test_batch_sizes_end_with_the_largest(largest: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(largest) == sizes


def test_callers_share_a_batch_as_far_as_it_pays() -> None:
    """On a CPU a batch is worked off one by one; a GPU takes all that waits at once."""
    preferred = {
        (step.name, profile): list(step_config(step, profile).dynamic_batching.preferred_batch_size)
        for step in STEPS
        for profile in ("cpu", "gpu")
    }
    assert preferred["face", "cpu"] == [12]
    assert preferred["text", "cpu"] == [8]
    assert not any(sizes for (_, profile), sizes in preferred.items() if profile == "gpu")


def test_no_inner_tensor_of_the_ensemble_is_an_output_too() -> None:
    ensemble = step_config(TEXT, "gpu")
    read = {name for step in ensemble.ensemble_scheduling.step for name in step.input_map.values()}
    assert not read & {output.name for output in ensemble.output}


def test_a_model_answers_before_it_is_ready() -> None:
    config = network_config(FACE, "cpu")
    assert [warm.batch_size for warm in config.model_warmup] == [1, 8]
    item = config.model_warmup[0].inputs["face"]
    assert (list(item.dims), item.input_data_file) == ([1, 48, 48], "face")
    assert len(network_files(FACE)["warmup/face"]) == 48 * 48 * 4
    assert [warm.batch_size for warm in step_config(TEXT, "cpu").model_warmup] == [1]
    words = step_files(TEXT, "cpu")["warmup/text"]
    assert struct.unpack("<I", words[:4])[0] == len(words) - 4
    for step in STEPS:
        (request,) = step_config(step, "cpu").model_warmup
        folder = step_files(step, "cpu")
        assert {f"warmup/{name}" for name in request.inputs} <= folder.keys(), step.name
    # It would ask networks that may not be loaded yet.
    assert not step_config(VIDEO, "gpu").model_warmup
    assert not step_config(TEXT, "gpu").model_warmup


def test_video_answers_with_a_stream_and_bounds_its_queue() -> None:
    config = step_config(VIDEO, "cpu")
    assert config.model_transaction_policy.decoupled
    assert config.max_batch_size == 0
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 16
    assert all(tensor.optional for tensor in config.input)


def test_what_is_committed_keeps_the_contract() -> None:
    problems, count = check_repository(COMMITTED, CONTRACT)
    assert problems == []
    assert count == len(CATALOGUE) + len(STEPS)


def test_the_contract_is_read_from_its_tables() -> None:
    promises = read_contract(CONTRACT)
    assert promises["text_net"].inputs["input_ids"].dims == (-1,)
    assert promises["face"].outputs["boxes"].dims == (-1, 4)
    assert promises["voice_net"].outputs["hn"].dims == (1, 1, 128)
    assert promises["video"].outputs["answer"].dtype == "TYPE_STRING"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The committed files of three models, to be spoiled."""
    for name in ("face_net", "face", "text_answer"):
        shutil.copytree(COMMITTED / name, tmp_path / name, ignore=shutil.ignore_patterns("*.onnx"))
    return tmp_path


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def problems_of(repository: Path, model: str) -> list[str]:
    found, _ = check_repository(repository, CONTRACT)
    return [text for text in found if text.startswith(f"{model}: ") and "not there" not in text]


def test_each_mismatch_with_the_contract_is_named(copy: Path) -> None:
    edited(copy / "face_net" / "config.pbtxt", 'name: "embedding"', 'name: "vector"')
    edited(copy / "face" / "config.pbtxt", "TYPE_INT32", "TYPE_INT64")
    edited(copy / "text_answer" / "config.pbtxt", "dims: 7", "dims: 8")
    assert problems_of(copy, "face_net") == [
        "face_net: output 'embedding' is promised by the contract, not in the config",
        "face_net: output 'vector' is not in the contract",
    ]
    assert (
        "('TYPE_INT64', (1,)), the contract says ('TYPE_INT32', (1,))"
        in problems_of(copy, "face")[0]
    )
    assert "(8,)), the contract says ('TYPE_FP32', (7,))" in problems_of(copy, "text_answer")[0]


def test_labels_and_fields_are_checked(copy: Path) -> None:
    (copy / "face_net" / "emotion.labels.txt").write_text("happy\nsad\n")
    edited(copy / "face" / "config.pbtxt", "max_batch_size", "max_bacth_size")
    (copy / "text_answer" / "1" / "model.py").unlink()
    assert problems_of(copy, "face_net") == ["face_net: emotion: 2 labels for 7 classes"]
    assert "is not a Triton config" in problems_of(copy, "face")[0]
    assert problems_of(copy, "text_answer") == ["text_answer: version 1 has no model.py"]


def test_a_model_that_the_contract_promises_is_missed(copy: Path) -> None:
    assert "speech_net: promised by the contract, not there" in check_repository(copy, CONTRACT)[0]


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="holds no model"):
        check_repository(tmp_path, None)
    with pytest.raises(RepositoryError, match="no contract at"):
        read_contract(tmp_path / "contracts.md")


def test_configs_name_their_folder() -> None:
    for path in COMMITTED.glob("*/config.pbtxt"):
        assert read_config(path).name == path.parent.name


@pytest.mark.parametrize("size", ["-1", "many", "1.5", str(2**32)])
@pytest.mark.parametrize("option", ["--max-queue-size", "--queue-delay-us"])
def test_a_bound_that_is_none_is_named(
    size: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([option, size])
    assert caught.value.code == 2
    assert f"'{size}' is no whole number" in capsys.readouterr().err


def test_text_alone_waits_for_company_where_a_delay_is_asked_for() -> None:
    delayed = {step.name: step_config(step, "cpu", queue_delay_us=1500) for step in STEPS}
    for name, config in delayed.items():
        batching = config.dynamic_batching
        if name == "text":
            assert batching.max_queue_delay_microseconds == 1500
            assert [*batching.preferred_batch_size] == [4, 8]
        else:
            assert config == step_config(next(s for s in STEPS if s.name == name), "cpu")
    written = step_files(TEXT, "cpu", queue_delay_us=1500)["config.pbtxt"].decode()
    assert "max_queue_delay_microseconds: 1500" in written
    assert step_config(TEXT, "gpu", queue_delay_us=1500) == step_config(TEXT, "gpu")
