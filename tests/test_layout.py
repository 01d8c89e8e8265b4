"""The rules that hold the parts apart: who may import whom, and what each folder may hold."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "emoserve_client": ROOT / "client",
    "emoserve_ensemble": ROOT / "ensemble",
    "emoserve_export": ROOT / "export",
    "emoserve_server": ROOT / "server",
    "emoserve_training": ROOT / "training",
    "emoserve_loadtests": ROOT / "loadtests",
    "emoserve_peers": ROOT / "loadtests",
    "emoserve_rehearsal": ROOT / "loadtests",
    "emoserve_gpu": ROOT / "loadtests",
}
MAY_IMPORT = {
    "emoserve_client": set(),
    "emoserve_ensemble": set(),
    "emoserve_export": {"emoserve_ensemble"},
    "emoserve_server": set(),
    "emoserve_training": {"emoserve_export", "emoserve_ensemble"},
    # the export's drawn media, and its reader of pinned wheels
    "emoserve_loadtests": {"emoserve_client", "emoserve_export"},
    "emoserve_peers": {
        "emoserve_client",
        "emoserve_ensemble",
        "emoserve_export",
        "emoserve_server",
    },
    "emoserve_rehearsal": {"emoserve_client", "emoserve_loadtests", "emoserve_server"},
    "emoserve_gpu": {"emoserve_client", "emoserve_export", "emoserve_server"},
}
# Nothing at serving time may need torch; the client drags nothing of the server along.
NEVER = {
    # cv2 and av: only inside the functions of `emoserve live`, see tests/client/test_api.py
    "emoserve_client": {"torch", "onnx", "onnxruntime", "pytriton", "gevent"},
    "emoserve_ensemble": {"torch", "onnx", "tritonclient", "librosa", "transformers"},
    "emoserve_server": {"torch", "onnx"},
}


def sources(package: str) -> list[Path]:
    return sorted((PACKAGES[package] / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the top-level names that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_the_design_allows(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    for path in sources(package):
        ours = {name for name in imported(path) if name.startswith("emoserve_")}
        assert ours <= allowed, f"{path.relative_to(ROOT)} imports {sorted(ours - allowed)}"


@pytest.mark.parametrize("package", NEVER)
def test_a_package_stays_light(package: str) -> None:
    for path in sources(package):
        heavy = imported(path) & NEVER[package]
        assert not heavy, f"{path.relative_to(ROOT)} imports {sorted(heavy)}"


def test_folders_are_never_imported_by_their_own_name() -> None:
    folders = {"client", "ensemble", "export", "server", "training", "loadtests", "k8s", "gateway"}
    for path in [file for package in PACKAGES for file in sources(package)]:
        assert not imported(path) & folders, path.relative_to(ROOT)


def test_adapters_are_thin() -> None:
    adapters = sorted((ROOT / "model_repository").glob("*/1/model.py"))
    assert len(adapters) >= 9
    for path in adapters:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 60, path
        assert imported(path) <= {"emoserve_ensemble"}, path


@pytest.mark.parametrize("package", ["emoserve_client", "emoserve_export", "emoserve_server"])
def test_public_names_exist_and_are_all_listed(package: str) -> None:
    module = __import__(package)
    listed = set(module.__all__)
    assert len(listed) == len(module.__all__)
    for name in listed:
        assert hasattr(module, name), name
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    public = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if not (alias.asname or alias.name).startswith("_")
    }
    assert public <= listed


def test_importing_the_client_brings_nothing_heavy() -> None:
    code = (
        "import sys, emoserve_client;"
        "heavy = {'torch', 'cv2', 'av', 'onnxruntime', 'gevent', 'rich', 'matplotlib', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_networks_are_built_from_their_declaration_without_a_server_s_packages() -> None:
    code = (
        "import sys; sys.modules['tritonclient'] = None;"
        "from emoserve_export.catalogue import FACE;"
        "from emoserve_export.conversion import build_module;"
        "print(build_module(FACE).training)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
