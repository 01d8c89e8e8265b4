"""Puts TensorRT engines in the place of ONNX networks in a copy of the model repository.

    build_engines.py REPOSITORY CACHE

Runs in NVIDIA's TensorRT container, with Python's standard library only. An engine fits one GPU
architecture and one TensorRT, so both are in its name in the cache, with the network's hash and
the build's options. Exit status: 0 done, 1 an engine could not be built (the pod does not start).
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NETWORKS = ("face_net", "speech_net", "text_net", "fusion_net")
# What an axis of -1 may be: tokens of a sentence. Least, usual, most.
DYNAMIC = (1, 32, 256)
# TF32 rounds FP32 products to 10 bits and would explain every difference from the trained network
# away; precision is what the ONNX file says (strongly typed), FP16 where it was exported so.
OPTIONS = ("--stronglyTyped", "--noTF32", "--skipInference", "--memPoolSize=workspace:2048M")


def input_shapes(config: str) -> dict[str, list[int]]:
    """Return each input's dims in a config.pbtxt, without the batch axis."""
    shapes = {}
    for block in re.findall(r"^input\s*\{(.*?)^\}", config, re.MULTILINE | re.DOTALL):
        name = re.search(r'name:\s*"([^"]+)"', block)
        if name:
            shapes[name[1]] = [int(dim) for dim in re.findall(r"dims:\s*(-?\d+)", block)]
    return shapes


def profile(config: str) -> list[str]:
    """Return trtexec's --minShapes, --optShapes and --maxShapes for a config."""
    match = re.search(r"^max_batch_size:\s*(\d+)", config, re.MULTILINE)
    most = int(match[1]) if match else 1
    flags = []
    for index, flag in enumerate(("--minShapes", "--optShapes", "--maxShapes")):
        batch = (1, max(1, most // 4), most)[index]
        shapes = []
        for name, dims in input_shapes(config).items():
            sizes = [batch, *(DYNAMIC[index] if dim < 0 else dim for dim in dims)]
            shapes.append(f"{name}:{'x'.join(map(str, sizes))}")
        flags.append(f"{flag}={','.join(shapes)}")
    return flags


def with_engine(config: str) -> str:
    """Return the config for Triton's TensorRT backend, the same tensors and batching."""
    lines = re.sub(r'^backend:\s*"onnxruntime"', 'backend: "tensorrt"', config, flags=re.MULTILINE)
    lines = lines.replace('"model.onnx"', '"model.plan"').replace("KIND_AUTO", "KIND_GPU")
    # Thread counts are ONNX Runtime's.
    return re.sub(
        r'^parameters\s*\{\s*key:\s*"int(er|ra)_op_thread_count".*?^\}\n',
        "",
        lines,
        flags=re.MULTILINE | re.DOTALL,
    )


def cache_name(network: Path, options: list[str], hardware: str) -> str:
    """Return the engine's file name in the cache."""
    digest = hashlib.sha256(network.read_bytes())
    digest.update("\n".join(options).encode())
    return f"{network.parent.parent.name}-{hardware}-{digest.hexdigest()[:24]}.plan"


def this_hardware() -> str:
    """Return GPU architecture and TensorRT version, such as `sm90-trt10.14.1`."""
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    capability = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    import tensorrt

    return f"sm{capability.split()[0].replace('.', '')}-trt{tensorrt.__version__}"


def build(network: Path, engine: Path, options: list[str]) -> None:
    """Build one engine; it appears in the cache only when whole."""
    with tempfile.NamedTemporaryFile(dir=engine.parent, suffix=".building", delete=False) as made:
        command = ["trtexec", f"--onnx={network}", f"--saveEngine={made.name}", *options]
        print("+", *command, flush=True)
        subprocess.run(command, check=True)
    Path(made.name).rename(engine)


def main(repository: Path, cache: Path) -> int:
    """Build what the cache lacks and put it into the repository."""
    hardware = this_hardware()
    for name in NETWORKS:
        config = repository / name / "config.pbtxt"
        options = [*OPTIONS, *profile(config.read_text())]
        for network in sorted((repository / name).glob("[0-9]*/model.onnx")):
            engine = cache / cache_name(network, options, hardware)
            if not engine.exists():
                build(network, engine, options)
            network.with_name("model.plan").write_bytes(engine.read_bytes())
        config.write_text(with_engine(config.read_text()))
        print(f"{name}: {engine.name}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.cmd[0]} failed with exit status {error.returncode}")
