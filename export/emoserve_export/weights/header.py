"""What a safetensors file says of itself, held against the declaration.

Our training writes `labels` (JSON: output -> names in order) and `preprocessing` into the header. A
file that says nothing is taken as it is; one that says something else than the declaration is of
another network, or of another order of labels.
"""

import json
import struct

from emoserve_export.declaration import Network
from emoserve_export.errors import CheckpointError
from emoserve_export.weights.formats import format_of
from emoserve_export.weights.source import Checkpoint


def require_header(source: Checkpoint, network: Network) -> None:
    """Refuse a checkpoint whose header contradicts the declaration.

    Raises:
        CheckpointError: other labels, another order of them, another pre-processing.
    """
    facts = read_header(source.read())
    problems = []
    for output, found in json.loads(facts.get("labels", "{}")).items():
        declared = network.labels.get(output)
        wanted = list(declared.names) if declared else None
        if list(found) != wanted:
            problems.append(f"labels of {output}: trained with {list(found)}; declared {wanted}")
    made = facts.get("preprocessing", network.preprocessing.name)
    if made != network.preprocessing.name:
        problems.append(
            f"preprocessing: trained with {made!r}; declared {network.preprocessing.name!r}"
        )
    if problems:
        raise CheckpointError(str(source), problems)


def read_header(data: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty for other formats."""
    if format_of(data) != "safetensors":
        return {}
    length = struct.unpack("<Q", data[:8])[0]
    try:
        facts = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    except ValueError:
        return {}  # damaged: reading the tensors says so
    return {str(key): str(value) for key, value in facts.items()}
