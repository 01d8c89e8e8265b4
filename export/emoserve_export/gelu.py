"""GELU in the order of operations that runtimes know.

torch exports x * (0.5 * (1 + erf(x / sqrt 2))). ONNX Runtime, which would compute it in one pass as
`Gelu`, looks for (0.5 * x) * (1 + erf(x / sqrt 2)).
"""

from __future__ import annotations

from collections import Counter

from onnx import ModelProto, NodeProto


def reorder(model: ModelProto) -> int:
    """Move the half of each GELU to its input, in place; return how many there were."""
    made = {name: node for node in model.graph.node for name in node.output}
    readers = Counter(name for node in model.graph.node for name in node.input)
    readers.update(output.name for output in model.graph.output)
    return sum(
        _reorder(outer, made, readers) for outer in model.graph.node if outer.op_type == "Mul"
    )


def _reorder(outer: NodeProto, made: dict[str, NodeProto], readers: Counter[str]) -> bool:
    """Take `outer` for the product of x and its half, (0.5 * (1 + erf)), if it is one."""
    for at in (0, 1):
        x, product = outer.input[at], outer.input[1 - at]
        half = made.get(product)
        if half is None or half.op_type != "Mul" or readers[product] != 1:
            continue
        for place in (0, 1):
            one_more = half.input[place]
            if _is_one_and_erf(one_more, x, made):
                half.input[place] = x
                outer.input[at] = one_more
                return True
    return False


def _is_one_and_erf(name: str, x: str, made: dict[str, NodeProto]) -> bool:
    """Whether a value is something plus erf(x / something)."""
    add = made.get(name)
    if add is None or add.op_type != "Add":
        return False
    for given in add.input:
        erf = made.get(given)
        if erf is not None and erf.op_type == "Erf":
            ratio = made.get(erf.input[0])
            return ratio is not None and ratio.op_type == "Div" and ratio.input[0] == x
    return False
