"""What is committed is what the sources give: rendered manifests, and the computed targets."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter

import pytest

from emoserve_server.scaling.cli import main


@pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")), reason="needs kustomize or kubectl"
)
def test_rendered_manifests_are_fresh(root):
    ran = subprocess.run(
        [root / "k8s" / "render.sh", "--check"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"run k8s/render.sh: {ran.stdout}{ran.stderr}"


def test_computed_targets_are_fresh(root, capsys):
    arguments = ["target", "--check", "--repository", str(root / "model_repository")]
    arguments += ["--capacity", str(root / "k8s/capacity/cpu.json"), "--manifests"]
    assert main([*arguments, str(root / "k8s")]) == 0, capsys.readouterr().out


def test_every_overlay_example_and_component_is_rendered(root):
    rendered = {path.stem for path in (root / "k8s/rendered").glob("*.yaml")}
    sources = [*(root / "k8s/overlays").iterdir(), *(root / "k8s/examples").iterdir()]
    assert rendered == {path.name for path in sources} | {"kserve"}
    used = "\n".join(path.read_text() for path in (root / "k8s").glob("[eo]*/*/kustomization.yaml"))
    for component in (root / "k8s/components").iterdir():
        assert f"components/{component.name}\n" in used, f"no example shows {component.name}"


def test_the_page_lists_what_each_file_applies(root, objects):
    """`k8s/README.md` has this table; when it differs, the message is what belongs there."""
    rows = ["| applied | objects |", "|---|---|"]
    for name in sorted(path.stem for path in (root / "k8s/rendered").glob("*.yaml")):
        kinds = Counter(item["kind"] for item in objects(name).all)
        said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        rows.append(f"| `{name}` ({sum(kinds.values())}) | {said} |")
    table = "\n".join(rows)
    assert table in (root / "k8s/README.md").read_text(), table
