import pytest

from flowsolve.cli.key_values import parse_options
from flowsolve.errors import ArgumentError


def test_values_are_json_lists_or_text():
    pairs = ["lr=0.02", "dim_shape=3,8,8", "schedule=cosine", "restart=true"]
    assert parse_options(pairs) == {
        "lr": 0.02, "dim_shape": [3, 8, 8], "schedule": "cosine", "restart": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "message"), [(["lr"], r"option: got 'lr'; accepted: KEY=VALUE"), (["a=1", "a=2"], "a twice")]
)
def test_bad_pairs_are_refused(pairs, message):
    with pytest.raises(ArgumentError, match=message):
        parse_options(pairs)
