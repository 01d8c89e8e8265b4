"""A network is a declaration: everything the export and the server need to know about it.

Network
├── inputs, outputs: Tensor    dtype, named axes, unit, range
├── labels: Labels             one name per class, and what vocabulary they mean
├── build                      the PyTorch module (or None: the checkpoint is an ONNX file)
├── checkpoint: Checkpoint...  where the weights are
└── tolerance: Tolerance       how far the served answer may be from the trained network's
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from emoserve_ensemble.arrays import Tensor as Array
from emoserve_ensemble.labels import SENTIMENTS, canonical_matrix
from emoserve_export.errors import DeclarationError
from emoserve_export.weights.source import Checkpoint

if TYPE_CHECKING:
    from torch import nn

Arrays: TypeAlias = dict[str, Array]
DType: TypeAlias = Literal["float32", "float16", "int64", "int32", "uint8", "bool", "bytes"]
Kind: TypeAlias = Literal["convolutional", "recurrent", "transformer", "dense"]
Metric: TypeAlias = Literal["accuracy", "macro_recall", "weighted_f1"]
Profile: TypeAlias = Literal["cpu", "gpu"]

Precision: TypeAlias = Literal[
    "fp32", "fp16", "int8_dynamic", "int8_static", "openvino_bf16", "openvino_int8"
]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
UNBOUNDED = 4096  # the longest a dynamic axis may get where the declaration does not say


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor: a fixed size, or the sizes from `low` to `high` when `size` is None."""

    name: str
    size: int | None = None
    low: int = 1
    high: int = UNBOUNDED


def axes(*dynamic: str, **sized: int | tuple[int, int]) -> tuple[Axis, ...]:
    """Return named axes: `axes("batch", channel=1, height=48, width=(12, 1280))`.

    Positional names are dynamic; a keyword gives a fixed size, or the range of a dynamic one.
    """
    free = [Axis(name) for name in dynamic]
    return (*free, *(_axis(name, size) for name, size in sized.items()))


def _axis(name: str, size: int | tuple[int, int]) -> Axis:
    return Axis(name, size) if isinstance(size, int) else Axis(name, None, *size)


@dataclass(frozen=True)
class Tensor:
    """An input or output.

    Attributes:
        axes: the first one named `batch` where Triton may join requests along it.
        unit: what the values are, for readers ("grey / 255", "mono PCM at 16 kHz").
        range: lowest and highest value that occurs, where it is known.
        optional: a request may leave it out.
    """

    name: str
    dtype: DType
    axes: tuple[Axis, ...]
    unit: str = ""
    range: tuple[float, float] | None = None
    optional: bool = False

    @property
    def batched(self) -> bool:
        return bool(self.axes) and self.axes[0].name == "batch"

    def shape(self, **sizes: int) -> tuple[int, ...]:
        """Return a concrete shape; dynamic axes not named in `sizes` take their lowest size."""
        return tuple(
            axis.size if axis.size is not None else max(axis.low, sizes.get(axis.name, axis.low))
            for axis in self.axes
        )


@dataclass(frozen=True)
class Labels:
    """The classes of an output, in the network's own order.

    Attributes:
        vocabulary: `emotions` or `sentiments` when the names mean the canonical ones, else None.
    """

    names: tuple[str, ...]
    vocabulary: Literal["emotions", "sentiments"] | None = "emotions"


@dataclass(frozen=True)
class Preprocessing:
    """The function that makes this network's inputs; its name carries its version."""

    name: str
    description: str = ""


@dataclass(frozen=True)
class Tolerance:
    """How far an answer may be from the trained network's.

    Attributes:
        absolute, relative: as in numpy's `allclose`.
        cosine: least cosine between the two answers of one item.
        agreement: least share of items with the same strongest class.
    """

    absolute: float = 1e-4
    relative: float = 1e-3
    cosine: float = 0.9999
    agreement: float = 0.99


@dataclass(frozen=True)
class Budget:
    """What a variant in fewer bits may cost, against float32.

    Attributes:
        metric_points: points of the task metric that may be lost.
        agreement: least share of items with the same strongest class.
        cosine: least cosine of an item's output.
    """

    metric_points: float = 0.5
    agreement: float = 0.99
    cosine: float = 0.9


@dataclass(frozen=True)
class Evaluation:
    """Labelled items by which a variant's task metric is measured.

    Attributes:
        inputs: arrays by input name; the first axis is the item.
        target: int64 [items], index into the labels of `output`.
    """

    inputs: Arrays
    target: Array
    output: str
    metric: Metric = "accuracy"


@dataclass(frozen=True)
class Serving:
    """How Triton runs the network.

    Attributes:
        max_batch_size: 0 where the first axis is not a batch.
        preferred_batch_size: waiting requests go in batches of this many. 0: all that wait.
        delayed_batch_size: where a queue delay is asked for, requests wait until there are so many
            or the delay is over. 0: they never wait for company.
        instances: copies in the profile `cpu`; each runs with `threads` intra-op threads.
        gpu_instances: copies in the profile `gpu`, on each GPU where there are any: while one takes
            items in or hands answers out, the others keep the GPU busy (docs/decisions.md 27, 28).
        on_gpu: False keeps the network on the CPU in the profile `gpu` too. That is for shapes that
            differ from request to request: ONNX Runtime's CUDA plans every convolution anew when
            its shape changes, in 35 to 200 ms (docs/decisions.md 27).
        max_queue_size: requests that may wait; more are refused at once. 0: no bound.
        timeout_us: longest wait in the queue before a request is refused; a caller's shorter time
            limit counts too. 0: no limit, or 10 minutes in a bounded queue. Without either Triton
            prepares a batch while another runs, which is faster (docs/decisions.md 18).
        cache: let Triton's response cache answer repeated inputs.
    """

    max_batch_size: int = 64
    preferred_batch_size: int = 0
    delayed_batch_size: int = 0
    instances: int = 1
    threads: int = 1
    gpu_instances: int = 3
    on_gpu: bool = True
    max_queue_size: int = 0
    timeout_us: int = 0
    cache: bool = False


@dataclass(frozen=True)
class Network:
    """A trained network, declared.

    Attributes:
        build: returns the PyTorch module (without weights), or `"package.module:Class"`;
            None when the checkpoint is an ONNX file. Its `forward` takes the inputs in order and
            returns the outputs in order.
        checkpoint: one or more sources whose tensors together are the module's state.
        prepare: a method of the module that is called before export (merging adapters, fusing);
            for an ONNX file `"package.module:function"`, which changes the graph in place. The
            trained network's answers are taken before it.
        unpad: a method of the module, called after `prepare` for the `cpu` profile, after which it
            computes nothing for padding (docs/decisions.md 25).
        renames: for an ONNX file, its tensor names -> the declared ones.
        samples: returns inputs for a number of items and a seed; by default random values in
            the declared ranges.
        evaluation: labelled data for the task metric, where there is some at hand.
        kind: decides what is quantised.
        masked: a mask among the inputs says what counts along their second axis, so that zeros at
            its end change nothing.
        precision: what is published when the caller does not choose.
        figures: what the model card says, for the table.
        files: other files for the version's folder, name -> source.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    checkpoint: tuple[Checkpoint, ...]
    build: "Callable[[], nn.Module] | str | None" = None
    preprocessing: Preprocessing = field(default_factory=lambda: Preprocessing("none"))
    labels: Mapping[str, Labels] = field(default_factory=dict)
    prepare: str = ""
    unpad: str = ""
    renames: Mapping[str, str] = field(default_factory=dict)
    tolerance: Tolerance = field(default_factory=Tolerance)
    budget: Budget = field(default_factory=Budget)
    serving: Serving = field(default_factory=Serving)
    samples: Callable[[int, int], Arrays] | None = None
    evaluation: Callable[[], Evaluation] | None = None
    kind: Kind = "convolutional"
    masked: bool = False
    precision: Precision = "fp32"
    files: Mapping[str, Checkpoint] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    figures: str = ""

    def __post_init__(self) -> None:
        problems = [*_tensor_problems(self), *_label_problems(self)]
        if problems:
            raise DeclarationError(f"{self.name}: " + "; ".join(problems))

    @property
    def batched(self) -> bool:
        return self.serving.max_batch_size > 0

    @property
    def one_shape(self) -> bool:
        """Whether every axis of the inputs but the first has a fixed size."""
        return all(axis.size for tensor in self.inputs for axis in tensor.axes[1:])

    def sample(self, items: int, seed: int = 0) -> Arrays:
        """Return inputs for `items` items: the declared samples, or random ones in range."""
        if self.samples is not None:
            return self.samples(items, seed)
        rng = np.random.default_rng(seed)
        return {tensor.name: random_values(tensor, items, rng) for tensor in self.inputs}


def random_values(tensor: Tensor, items: int, rng: np.random.Generator) -> Array:
    """Return random values in the tensor's range; a dynamic first axis gets `items`."""
    first = tensor.axes[0].name
    shape = tensor.shape(**{first: items}) if tensor.axes[0].size is None else tensor.shape()
    low, high = tensor.range or (0.0, 1.0)
    if tensor.dtype.startswith("float"):
        return rng.uniform(low, high, shape).astype(tensor.dtype)
    if tensor.dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    return rng.integers(int(low), int(high) + 1, shape).astype(tensor.dtype)


def _tensor_problems(network: Network) -> list[str]:
    names = [tensor.name for tensor in (*network.inputs, *network.outputs)]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems = [f"tensor {name!r} is declared twice" for name in twice]
    for tensor in (*network.inputs, *network.outputs):
        if not tensor.axes:
            problems.append(f"{tensor.name} has no axes")
        elif network.batched and not tensor.batched:
            problems.append(
                f"{tensor.name}: max_batch_size is set, so its first axis must be batch"
            )
        elif not network.batched and tensor.batched:
            problems.append(f"{tensor.name} has a batch axis, but max_batch_size is 0")
    if not network.inputs or not network.outputs:
        problems.append("needs at least one input and one output")
    return problems


def _label_problems(network: Network) -> list[str]:
    outputs = {tensor.name: tensor for tensor in network.outputs}
    problems = []
    for name, labels in network.labels.items():
        if name not in outputs:
            problems.append(f"labels for {name!r}, which is no output; outputs are {list(outputs)}")
            continue
        classes = outputs[name].axes[-1].size
        if classes != len(labels.names):
            problems.append(f"{name} has {classes} classes but {len(labels.names)} labels")
        problems += _vocabulary_problems(name, labels)
    return problems


def _vocabulary_problems(output: str, labels: Labels) -> list[str]:
    if len(set(labels.names)) != len(labels.names):
        return [f"{output}: a label occurs twice in {list(labels.names)}"]
    if labels.vocabulary == "sentiments" and set(labels.names) != set(SENTIMENTS):
        return [f"{output}: sentiments are {list(SENTIMENTS)}, found {list(labels.names)}"]
    if labels.vocabulary == "emotions":
        try:
            canonical_matrix(labels.names)
        except ValueError as err:
            return [f"{output}: {err}"]
    return []
