"""What is asked of a network in fewer bits: like the trained one within the declared budget."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from emoserve_export.conversion import Converted
from emoserve_export.declaration import Network, Precision, Tolerance
from emoserve_export.parity import Comparison, Subject, compare, require_parity
from emoserve_export.precision import half, openvino, require_openvino
from emoserve_export.samples import MOST_EVALUATED, Samples, real_items, with_metric
from emoserve_export.sensitivity import int8
from emoserve_export.sessions import Variant, open_session

ANY_DIFFERENCE = 1e9  # cosine and agreement judge what has been quantised


def variant_tolerance(network: Network, precision: Precision) -> Tolerance:
    """Return what a variant is held to: the declared tolerance, or the budget below float32."""
    if precision == "fp32":
        return network.tolerance
    budget = network.budget
    return Tolerance(ANY_DIFFERENCE, 0.0, budget.cosine, budget.agreement)


def variant_subject(network: Network, precision: Precision) -> Subject:
    """Return the network as the comparison takes it, with its variant's tolerance."""
    return Subject.of(network, variant_tolerance(network, precision))


def in_precision(
    converted: Converted,
    precision: Precision,
    samples: Samples | None,
    progress: Callable[[str], None] = lambda state: None,
    kept: Sequence[str] | None = None,
) -> Variant:
    """Return the graph in another precision, and the nodes that kept float32.

    Args:
        kept: which they are, where an earlier export has found it out.

    Raises:
        UnavailableError: INT8 by ranges without real data; OpenVINO where it is not installed.
        GraphError: the result is not a valid graph.
    """
    if precision == "fp32":
        return Variant(converted.model)
    if precision == "fp16":
        return Variant(half(converted.network, converted.model))
    if precision.startswith("openvino"):
        require_openvino()
    if precision == "openvino_bf16":
        return Variant(converted.model, (), openvino(converted.network, "bf16"))
    return int8(converted, precision, samples, progress, kept)


def compared(
    converted: Converted, made: Variant, precision: Precision, samples: Samples | None
) -> list[Comparison]:
    """Return a variant's comparisons with the float32 graph, every one inside the budget.

    Raises:
        ParityError: one is not.
    """
    if precision == "fp32":
        return []
    network = converted.network
    base, session = open_session(converted.model), made.open()
    asked = real_items(samples, MOST_EVALUATED) or [inputs for inputs, _ in converted.pairs]
    references = [base.run(inputs) for inputs in asked]
    answers = [session.run(inputs) for inputs in asked]
    pairs = zip(references, answers, strict=True)
    rows = compare(variant_subject(network, precision), precision, pairs)
    if samples:
        points = network.budget.metric_points
        rows = with_metric(rows, samples, references, answers, points, MOST_EVALUATED)
    require_parity(rows)
    return rows


def served_tolerance(network: Network, precision: Precision) -> dict[str, Any]:
    """Return what `emoserve verify` holds the served network to, against the trained one.

    Two items cannot show an agreement of 99 %, so below float32 the cosine alone decides there.
    """
    tolerance = variant_tolerance(network, precision)
    if precision != "fp32":
        tolerance = dataclasses.replace(tolerance, agreement=0.0)
    return dataclasses.asdict(tolerance)
