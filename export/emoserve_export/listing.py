"""The catalogue as a table: `emoserve export --list`."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from emoserve_export.declaration import Network, Tensor
from emoserve_export.manifest import read_manifest


def catalogue_table(networks: Sequence[Network], repository: Path) -> Table:
    """Return one row for each network, and what of it is published."""
    manifest = read_manifest(repository)
    table = Table(title="Networks", show_lines=True)
    for heading in ("network", "inputs", "outputs", "pre-processing", "source", "published"):
        table.add_column(heading, overflow="fold")
    for network in networks:
        record, entry = manifest.record(network.name), manifest.networks.get(network.name)
        table.add_row(
            network.name,
            "\n".join(map(described, network.inputs)),
            "\n".join(map(described, network.outputs)),
            f"{network.preprocessing.name}",
            f"{network.source}\n{network.licence}",
            f"version {entry['version']}, {record['precision']}" if entry and record else "-",
        )
    return table


def described(tensor: Tensor) -> str:
    """Return a tensor in one line: `face float32 [batch, 1, 48, 48]`."""
    sizes = [axis.name if axis.size is None else str(axis.size) for axis in tensor.axes]
    return f"{tensor.name} {tensor.dtype} \\[{', '.join(sizes)}]"
