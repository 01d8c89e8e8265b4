"""The first requests, which Triton sends itself before a model counts as ready.

A network gets its declared samples, a pipeline the drawn face and voice; `warmup/` in the model's
folder holds the bytes. In the profile `gpu` pipelines have none: they would ask networks that may
not be loaded yet, and a warm-up that fails keeps its model from loading.
"""

import struct

from tritonclient.grpc import model_config_pb2 as pb

from emoserve_export import golden_media
from emoserve_export.declaration import Arrays, Network

FOLDER = "warmup"
PIPELINES = ("face", "speech", "text", "emotion")
BATCHES = (1, 8)
WINDOWS = 8  # for networks whose first axis is time


def network_sample(network: Network) -> Arrays:
    """Return the inputs of one item; of a network without a batch axis, of some windows."""
    return network.sample(1 if network.batched else WINDOWS, seed=0)


def warm_network(config: pb.ModelConfig, network: Network) -> None:
    """Add warm-up requests of one and of several items to a network's config."""
    for size in BATCHES if network.batched else (1,):
        if size <= max(1, config.max_batch_size):
            request = config.model_warmup.add(name=f"batch of {size}", batch_size=size)
            for tensor in config.input:
                shape = network_sample(network)[tensor.name].shape
                own = shape[1:] if network.batched else shape
                item = request.inputs[tensor.name]
                item.data_type, item.input_data_file = tensor.data_type, tensor.name
                item.dims.extend(own)


def network_files(network: Network) -> dict[str, bytes]:
    """Return the warm-up data of a network: path in its folder -> raw bytes."""
    sample = network_sample(network)
    return {f"{FOLDER}/{name}": array.tobytes() for name, array in sample.items()}


def warm_step(config: pb.ModelConfig) -> None:
    """Add a warm-up request to a pipeline's config, where it has one."""
    if config.name not in PIPELINES:
        return
    request = config.model_warmup.add(name="drawn face and voice", batch_size=1)
    for tensor in config.input:
        item = request.inputs[tensor.name]
        item.data_type, item.input_data_file = tensor.data_type, tensor.name
        item.dims.append(1)


def step_files(name: str) -> dict[str, bytes]:
    """Return the warm-up data of a pipeline; Triton reads a string after its length."""
    given = golden_media.still_requests()[name] if name in PIPELINES else {}
    return {
        f"{FOLDER}/{key}": struct.pack("<I", len(value)) + value for key, value in given.items()
    }
