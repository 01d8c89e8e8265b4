"""`--target tensorrt`: an engine for this GPU beside each published graph, behind the same gate.

The plan is named after the GPU's compute capability and entered in the config's
`cc_model_filenames`, Triton's own way to hold one plan for each kind of GPU; plans of other GPUs
stay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from emoserve_ensemble.runtimes import GRAPH
from emoserve_export.configs.generate import config_text
from emoserve_export.configs.reading import read_config
from emoserve_export.declaration import Network, Tolerance
from emoserve_export.engines.build import build_engine
from emoserve_export.engines.cache import EngineCache, default_cache
from emoserve_export.engines.cuda import Cuda
from emoserve_export.engines.names import tensorrt, trt_version
from emoserve_export.engines.profiles import profile_of
from emoserve_export.engines.run import run_engine
from emoserve_export.errors import RepositoryError
from emoserve_export.golden_file import FILE, unpacked
from emoserve_export.graph_files import content
from emoserve_export.parity import Comparison, Subject, compare, require_parity
from emoserve_export.publish import Publication

PLATFORM = "tensorrt_plan"


@dataclass(frozen=True)
class Machine:
    """This machine's GPU and TensorRT, and the engines built for them so far."""

    cuda: Cuda
    cache: EngineCache

    @classmethod
    def here(cls, folder: Path | None = None) -> "Machine":
        """Return this machine.

        Raises:
            UnavailableError: TensorRT or a GPU is missing.
        """
        trt = tensorrt()
        cuda = Cuda()
        cache = EngineCache(folder or default_cache(), trt_version(trt), cuda.compute_capability())
        return cls(cuda, cache)


def publish_engines(
    networks: Sequence[Network],
    repository: Path,
    machine: Machine,
    progress: Callable[[str, str], None] = lambda name, state: None,
) -> list[Comparison]:
    """Publish an engine for each network that is in the repository, all of them or none.

    Recurrent networks stay in ONNX Runtime.

    Raises:
        RepositoryError: a network is not exported yet.
        ParityError: an engine does not answer like the trained network.
    """
    rows: list[Comparison] = []
    with Publication(repository) as publication:
        for network in networks:
            if network.kind != "recurrent":
                progress(network.name, "building an engine")
                rows += _publish(network, publication, machine)
        publication.commit()
    return rows


def _publish(network: Network, publication: Publication, machine: Machine) -> list[Comparison]:
    entry = publication.manifest.networks.get(network.name)
    if entry is None:
        raise RepositoryError(f"{network.name} is not exported yet: run `emoserve export` first")
    version = str(entry["version"])
    record = entry["versions"][version]
    folder = publication.repository / network.name
    config = read_config(folder / "config.pbtxt")
    plan = _plan(network, config, folder / version, machine)
    stored = unpacked((folder / version / FILE).read_bytes())
    answer = run_engine(network.name, plan, stored["in"], machine.cuda)
    rows = compare(_subject(network.name, record), "tensorrt", [(stored["trained"], answer)])
    require_parity(rows)
    capability = machine.cache.capability
    file = plan_file(capability)
    made = tensorrt_config(config, {capability: file})
    files = {"config.pbtxt": config_text(made).encode(), f"{version}/{file}": plan}
    publication.stage(network.name, files)
    return rows


def _subject(name: str, record: Mapping[str, Any]) -> Subject:
    outputs = tuple(dict.fromkeys(row["output"] for row in record["parity"]))
    return Subject(name, outputs, frozenset(record["labels"]), Tolerance(**record["tolerance"]))


def _plan(network: Network, config: pb.ModelConfig, folder: Path, machine: Machine) -> bytes:
    profile = profile_of(config, bounds_of(network))
    cache = machine.cache
    path = cache.plan(content(folder), profile)
    kept = cache.read(path)
    if kept is not None:
        return kept
    timings = cache.read(cache.timings) or b""
    built = build_engine(network.name, folder / GRAPH, profile, timings)
    cache.write(cache.timings, built.timings)
    cache.write(path, built.plan)
    return built.plan


def bounds_of(network: Network) -> dict[str, dict[int, tuple[int, int]]]:
    """Return the lowest and highest size of each free dimension, the batch left out."""
    return {
        tensor.name: {
            index: (axis.low, axis.high)
            for index, axis in enumerate(tensor.axes[1:] if tensor.batched else tensor.axes)
            if axis.size is None
        }
        for tensor in network.inputs
    }


def plan_file(capability: str) -> str:
    """Return the name of the plan for a compute capability: `model_cc90.plan`."""
    return f"model_cc{capability.replace('.', '')}.plan"


def tensorrt_config(config: pb.ModelConfig, plans: Mapping[str, str]) -> pb.ModelConfig:
    """Return a network's config for Triton's TensorRT backend.

    Args:
        plans: compute capability -> file; those that the config has already stay.
    """
    made = pb.ModelConfig()
    made.CopyFrom(config)
    made.platform, made.backend = PLATFORM, "tensorrt"
    made.ClearField("default_model_filename")
    made.cc_model_filenames.update(plans)
    made.parameters.clear()  # ONNX Runtime's, as are the next
    made.ClearField("optimization")
    made.ClearField("instance_group")
    made.instance_group.add(kind=pb.ModelInstanceGroup.KIND_GPU, count=1)
    return made
