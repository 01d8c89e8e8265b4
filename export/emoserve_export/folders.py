"""What lies in a model's folder, as bytes by path."""

import hashlib

from emoserve_export.catalogue import TOKENIZER
from emoserve_export.configs import warmup
from emoserve_export.configs.generate import (
    adapter_text,
    config_text,
    label_file,
    network_config,
    step_config,
)
from emoserve_export.configs.steps import Step
from emoserve_export.declaration import Network, Profile


def declared_files(network: Network, profile: Profile, max_queue_size: int = 0) -> dict[str, bytes]:
    """Return what follows from the declaration alone: the config and the label files."""
    config = network_config(network, profile, max_queue_size)
    files = {"config.pbtxt": config_text(config).encode()}
    for output, labels in network.labels.items():
        files[label_file(output)] = ("\n".join(labels.names) + "\n").encode()
    return files


def step_files(
    step: Step, profile: Profile, max_queue_size: int = 0, queue_delay_us: int = 0
) -> dict[str, bytes]:
    """Return the files of a Python step: config, adapter, tokenizer."""
    config = step_config(step, profile, max_queue_size, queue_delay_us)
    files = {
        "config.pbtxt": config_text(config).encode(),
        "1/model.py": adapter_text(step).encode(),
    }
    if profile == "cpu":
        files |= warmup.step_files(step.name)
    if "tokenizer.json" in step.files:
        files["1/tokenizer.json"] = TOKENIZER.read()
    return files


def digests(files: dict[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
