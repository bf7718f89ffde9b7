"""The package of docs/extending.md, made from its code blocks, installed elsewhere, and used."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def call(*arguments, site, cwd):
    environment = dict(os.environ, PYTHONPATH=str(site), OMP_NUM_THREADS="1")
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Write the package, install it into a folder of its own, and return that folder and an empty one."""
    source, site, cwd = (tmp_path_factory.mktemp(name) for name in ("source", "site", "cwd"))
    (source / "flowsolve_extras").mkdir()
    (source / "flowsolve_extras" / "__init__.py").touch()
    for name, text in FILES.items():
        target = source if name.startswith(("pyproject", "flowsolve_extras/")) else cwd
        (target / name).write_text(text, encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", site]
    call("-m", "pip", "install", *options, source, site=site, cwd=cwd)
    return site, cwd


def test_the_page_has_every_file():
    assert list(FILES) == [
        "pyproject.toml",
        "flowsolve_extras/roll.py",
        "test_roll.py",
        "flowsolve_extras/flat.py",
        "flowsolve_extras/heavy_ball.py",
        "test_heavy_ball.py",
        "use.py",
        "truncated_newton.py",
        "foreign.py",
    ]


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith("flowsolve_extras/")])
def test_each_takes_under_30_lines(name):
    assert sum(bool(line.strip()) for line in FILES[name].splitlines()) < 30


def test_the_names_are_listed(installed):
    site, cwd = installed
    kinds = ("operators", "initialisers", "solvers")
    code = f"from flowsolve.cli import main; [main(['list', kind]) for kind in {kinds}]"
    out = call("-c", code, site=site, cwd=cwd)
    assert all(re.search(rf"\b{name}\b", out) for name in ("roll", "flat", "heavy_ball"))


def test_the_operator_conforms(installed):
    site, cwd = installed
    command = re.search(r"^flowsolve (check-operator .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    out = call("-m", "flowsolve.cli", *command[1].split(), site=site, cwd=cwd)
    assert "Roll((2, 5, 6) -> (2, 5, 6)): " in out and " 0 failed" in out
    out = call("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_roll.py", site=site, cwd=cwd)
    assert "10 passed" in out


def test_the_solver_conforms(installed):
    site, cwd = installed
    out = call("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_heavy_ball.py", site=site, cwd=cwd)
    assert "1 passed" in out


def test_they_solve_a_problem_together(installed):
    site, cwd = installed
    out = call("use.py", site=site, cwd=cwd)
    found = re.fullmatch(r"F from (-?[\d.]+) to (-?[\d.]+) in 20 iterations\n", out)
    assert found and float(found[2]) < float(found[1])
    assert (cwd / "run.h5").exists()


def test_a_foreign_solver(installed):
    site, cwd = installed
    call("truncated_newton.py", site=site, cwd=cwd)


def test_foreign_operators(installed):
    site, cwd = installed
    call("foreign.py", site=site, cwd=cwd)
