import pytest

from flowsolve.errors import ArgumentError, CheckpointError, FlowsolveError, RecordError, UnsupportedError


def test_argument_error_names_argument_given_and_accepted():
    error = ArgumentError("sigma", -1, "a number >= 0")
    assert str(error) == "sigma: got -1; accepted: a number >= 0"
    assert (error.argument, error.given, error.accepted) == ("sigma", -1, "a number >= 0")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ArgumentError, ValueError),
        (CheckpointError, ValueError),
        (RecordError, OSError),
        (UnsupportedError, NotImplementedError),
    ],
)
def test_errors_can_be_caught_as_the_builtin_they_are(kind, builtin):
    assert issubclass(kind, builtin)
    assert issubclass(kind, FlowsolveError)
