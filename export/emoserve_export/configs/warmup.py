"""The first requests, which Triton sends itself before a model counts as ready.

A network gets its declared samples, a step the drawn face and voice; `warmup/` in the model's
folder holds the bytes. In the profile `gpu` steps have none: they would ask networks that may not
be loaded yet, and a warm-up that fails keeps its model from loading.
"""

import struct
from collections.abc import Mapping

import numpy as np
from tritonclient.grpc import model_config_pb2 as pb

from emoserve_ensemble.arrays import Floats
from emoserve_ensemble.labels import EMOTIONS, SENTIMENTS
from emoserve_export import golden_media
from emoserve_export.declaration import Arrays, Network

FOLDER = "warmup"
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
    """Add a warm-up request to a step's config."""
    request = config.model_warmup.add(name="drawn face and voice", batch_size=1)
    given = _step_request(config.name)
    for tensor in config.input:
        if tensor.name in given:
            item = request.inputs[tensor.name]
            item.data_type, item.input_data_file = tensor.data_type, tensor.name
            item.dims.extend([1] if tensor.data_type == pb.TYPE_STRING else tensor.dims)


def step_files(name: str) -> dict[str, bytes]:
    """Return the warm-up data of a step; Triton reads a string after its length."""
    return {
        f"{FOLDER}/{key}": struct.pack("<I", len(value)) + value
        if isinstance(value, bytes)
        else value.tobytes()
        for key, value in _step_request(name).items()
    }


def _step_request(name: str) -> Mapping[str, bytes | Floats]:
    """Return what a step is asked: input name -> one encoded item, or float32 values."""
    still = golden_media.still_requests()
    others: dict[str, Mapping[str, bytes | Floats]] = {
        "face_detect": still["face"],
        "speech_features": still["speech"],
        "transcribe": still["speech"],
        "text_tokens": still["text"],
        "text_answer": {
            "emotion": np.full(len(EMOTIONS), 1 / len(EMOTIONS), np.float32),
            "sentiment": np.full(len(SENTIMENTS), 1 / len(SENTIMENTS), np.float32),
        },
        "video": {"media": golden_media.clip()},
    }
    return still[name] if name in still else others[name]
