"""``flowsolve check-operator``: what it loads, prints and returns."""

import sys

import pytest

from flowsolve.cli import main

MODULE = '''
from flowsolve.operators import Identity, LinearOperator

class Shift(LinearOperator):
    """Half of the pixel to the left is added."""

    def __init__(self, dim_shape, adjoint=0.5):
        super().__init__(dim_shape, dim_shape)
        self.factor = adjoint

    def _apply(self, x):
        y = 1.0 * x
        y[..., 1:] += 0.5 * x[..., :-1]
        return y

    def _adjoint(self, y):
        x = 1.0 * y
        x[..., :-1] += self.factor * y[..., 1:]
        return x

ready = Identity((1, 4, 4))
number = 3

class Steering(Identity):
    """Identity."""

    def __repr__(self):
        return "[red]\\x1b[31m"

def make_number(dim_shape):
    return 3
'''


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    (tmp_path / "users_operators.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main(["check-operator", *arguments])
        sys.modules.pop("users_operators", None)
        return code, *capsys.readouterr()

    return call


def test_a_sound_operator_passes(run):
    code, out, _ = run("users_operators:Shift", "--option", "dim_shape=2,4,5", "--library", "numpy")
    assert code == 0 and out.startswith("Shift((2, 4, 5) -> (2, 4, 5)): ") and " 0 failed, " in out


def test_a_wrong_adjoint_fails_with_the_error_and_the_smallest_case(run):
    options = ["--option", "dim_shape=3,9,8", "--option", "adjoint=0.25", "--library", "numpy"]
    code, out, _ = run("users_operators:Shift", *options)
    assert code == 1
    assert "FAIL adjoint [numpy float64 batch ()]: expected relative error <= 1e-12, found " in out
    smallest = out[out.index("smallest image shape that fails: (1, 1, 2)") :]
    assert "<Ax, y> = 0.5, <x, A^T y> = 0.25" in smallest


def test_an_operator_object_and_a_registered_name(run):
    assert run("users_operators:ready", "--library", "numpy")[0] == 0
    code, out, _ = run("mosaic", "--option", "dim_shape=3,4,4", "--library", "torch", "--verbose")
    assert code == 0 and "pass adjoint [torch float64 batch ()]" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such_module:A"], "target: got module 'no_such_module'"),
        (["users_operators:Missing"], "target: got 'Missing', which users_operators has not"),
        (["users_operators:number"], "target: got users_operators:number, a int"),
        (["users_operators:make_number", "--option", "dim_shape=1"], "which makes a int"),
        (["blurr"], "operator: got 'blurr'; accepted: "),
        (["users_operators:Shift"], "option: got missing a required argument: 'dim_shape'"),
        (["users_operators:Shift", "--option", "dim_shape"], "option: got 'dim_shape'; accepted: KEY=VALUE"),
        (["blur", "--option", "a=1", "--option", "a=2"], "option: got a twice"),
        (["users_operators:ready", "--option", "a=1"], "option: got a; accepted: none"),
        (["users_operators:ready", "--library", "abacus"], "library: got 'abacus'; accepted: numpy"),
        (["mosaic", "--option", "dim_shape=2,4,4"], "dim_shape: got (2, 4, 4)"),
        (
            ["blur", "--option", "dim_shape=1,4,4", "--option", 'kernel={"uniform":{"size":9}}'],
            "kernel: got size 9 x 9; accepted: at most the image's size, 4 x 4",
        ),
    ],
)
def test_bad_arguments_are_one_line_and_code_2(run, arguments, message):
    code, _, err = run(*arguments)
    assert code == 2 and message in err and err.count("\n") == 1


@pytest.fixture
def few(monkeypatch):
    """Leave two sound operators, a wrong one and one that needs more options, as examples."""
    from flowsolve.operators import Gradient, Identity, LinearOperator, conformance_examples

    class Wrong(LinearOperator):
        def _apply(self, x):
            return 2 * x

        def _adjoint(self, y):
            return 3 * y

    sound = {"identity": Identity((1, 3, 2)), "gradient": Gradient((1, 3, 2))}
    other = {"wrong": Wrong((1, 3, 2), (1, 3, 2)), "more": "needs options (angle)"}
    monkeypatch.setattr(conformance_examples, "examples", lambda: sound)
    monkeypatch.setattr(conformance_examples, "others", lambda: other)
    return other


def test_all_operators_are_a_row_each(run, few):
    few.pop("wrong")
    code, out, _ = run("--all", "--library", "numpy")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line[:1] == "|"]
    assert code == 0 and [row[0] for row in rows[2:]] == ["identity", "gradient"]
    identity = dict(zip(rows[0], rows[2], strict=True))
    assert identity["operator"] == "`Identity((1, 3, 2) -> (1, 3, 2))`" and identity["failed"] == "0"
    assert float(identity["adjoint, float64"]) <= 1e-12 and float(identity["adjoint, float32"]) <= 1e-5
    assert identity["closed forms"] == "yes" and identity["norm"] == "exact"
    assert "- more: not checked, needs options (angle)" in out and "on numpy." in out


def test_one_wrong_operator_of_all_fails(run, few):
    code, out, _ = run("--all", "--library", "numpy")
    assert code == 1 and "- wrong: FAIL adjoint [numpy float64 batch ()]: expected relative error" in out
    assert "- identity: pass" not in out
    assert "- identity: pass adjoint" in run("--all", "--library", "numpy", "--verbose")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all", "blur"], "target: got blur; accepted: none together with --all"),
        (["--all", "--option", "dim_shape=1,4,4"], "option: got dim_shape; accepted: none together with"),
        (["--all", "--library", "abacus"], "library: got 'abacus'"),
        (["--seed", "3"], "target: got none; accepted: MODULE:NAME"),
    ],
)
def test_all_or_one(run, arguments, message):
    code, _, err = run(*arguments)
    assert code == 2 and message in err and err.count("\n") == 1


def test_what_an_operator_calls_itself_is_no_markup(run):
    code, out, _ = run(
        "users_operators:Steering", "--option", "dim_shape=1,4,4", "--library", "numpy", "--verbose"
    )
    assert code == 0 and "[red]\\x1b[31m: " in out and "\x1b" not in out
