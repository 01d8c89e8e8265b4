"""How large /dev/shm must be, from the configs.

Triton hands tensors to a Python model's process through one shared-memory region per instance,
which starts at 1 MiB and grows by what is in it at one time
(https://github.com/triton-inference-server/python_backend#important-notes). Native backends use
none.
"""

from __future__ import annotations

import math
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from emoserve_server.scaling._configs import instances_of

MIB = 2**20
_REGION_BYTES = MIB  # shm-default-byte-size
_DYNAMIC = 64  # an axis of -1: faces of a picture, windows of a recording, tokens of a sentence
_SLACK = 1.25  # growth comes in steps, and freed blocks leave holes
_ELEMENT_BYTES = {  # model_config.proto
    pb.TYPE_BOOL: 1, pb.TYPE_UINT8: 1, pb.TYPE_INT8: 1, pb.TYPE_UINT16: 2, pb.TYPE_INT16: 2,
    pb.TYPE_FP16: 2, pb.TYPE_BF16: 2, pb.TYPE_UINT32: 4, pb.TYPE_INT32: 4, pb.TYPE_FP32: 4,
    pb.TYPE_UINT64: 8, pb.TYPE_INT64: 8, pb.TYPE_FP64: 8,
    pb.TYPE_STRING: 0,  # counted as media
}  # fmt: skip


def shared_memory_bytes(configs: dict[str, Any], largest_media_bytes: int) -> int:
    """Return the bytes that every Python instance may use at one time, in whole 64 MiB.

    An instance holds a batch of ordinary requests, or the one largest that the server accepts,
    whichever is more.
    """
    total = sum(
        instances_of(config) * _instance_bytes(config, largest_media_bytes)
        for config in configs.values()
        if config.backend == "python"
    )
    return math.ceil(int(total) * _SLACK / (64 * MIB)) * 64 * MIB


def _instance_bytes(config: Any, largest_media_bytes: int) -> int:
    takes_media = any(tensor.data_type == pb.TYPE_STRING for tensor in config.input)
    batch = max(config.max_batch_size, 1)
    tensors = batch * sum(_tensor_bytes(tensor) for tensor in (*config.input, *config.output))
    return _REGION_BYTES + max(int(tensors), largest_media_bytes if takes_media else 0)


def _tensor_bytes(tensor: Any) -> int:
    elements = math.prod(_DYNAMIC if dim < 0 else dim for dim in tensor.dims)
    return int(elements) * _ELEMENT_BYTES[tensor.data_type]
