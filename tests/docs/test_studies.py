"""The study file and the code of ``docs/studies.md``."""

import ast
import re
from importlib import import_module
from pathlib import Path

from flowsolve.studies.config import Study
from flowsolve.studies.toml import tomllib

ROOT = Path(__file__).parent.parent.parent


def blocks(language):
    text = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def checked(raw):
    return Study.model_validate(
        raw, context={k: list(raw.get(k, {})) for k in ("tasks", "solvers")}, strict=True
    )


def test_the_study_file_is_one():
    (text,) = blocks("toml")
    assert [cells.task for cells in checked(tomllib.loads(text)).cells] == [["mild", "denoise"], ["mild"]]


def test_what_the_code_imports_from_here_is_there():
    (code,) = blocks("python")
    ours = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("flowsolve")
    ]
    assert len(ours) == 4
    for node in ours:
        module = import_module(str(node.module))
        assert all(hasattr(module, name.name) for name in node.names)


def test_the_study_of_the_benchmarks_is_one():
    raw = tomllib.loads((ROOT / "benchmarks" / "studies" / "faces.toml").read_text(encoding="utf-8"))
    (cells,) = checked(raw).cells
    lengths = [len(getattr(cells, key)) for key in ("task", "formulation", "solver", "start")]
    assert lengths == [5, 2, 4, 3] and raw["limit"] == 8
