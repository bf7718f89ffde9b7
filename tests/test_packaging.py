"""The wheel that users install: what is in it, and that it works away from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("flowsolve", "operators", "setup.py", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        path = ROOT / part
        if path.is_dir():
            shutil.copytree(path, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / part)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", source / "dist", source], check=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_wheel_has_operators_weights_and_type_marker_and_no_global_names(wheel):
    infos = {info.filename: info for info in zipfile.ZipFile(wheel).infolist()}
    names = list(infos)
    for name in ("operators/blur.py", "py.typed", "cli/solve.py"):
        assert f"flowsolve/{name}" in names
    for prior in ("faces64", "faces64-additive", "faces64-seed", "natural"):
        assert infos[f"flowsolve/flows/weights/{prior}.safetensors"].file_size < 12_000_000
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"flowsolve"}
    assert wheel.stat().st_size < 36_000_000


def test_wheel_works_away_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import sys, torch; import flowsolve as fs; from flowsolve import operators as ops; "
        "print(fs.__file__, ops.__name__, fs.load_prior('faces64').image_shape, 'pyxu' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    place, operators, *rest = done.stdout.split(maxsplit=2)
    assert place == str(tmp_path / "site" / "flowsolve" / "__init__.py")
    assert operators == "flowsolve.operators"
    assert rest == ["(3, 64, 64) False\n"], "Pyxu must be imported only when it is used"
