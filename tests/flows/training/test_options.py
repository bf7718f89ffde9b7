import pytest

from flowsolve.errors import ArgumentError
from flowsolve.flows import GlowConfig
from flowsolve.flows.training import TrainingOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("data", []),
        ("hours", 0),
        ("hours", float("nan")),
        ("lr", -1),
        ("batch", 0),
        ("threads", 0),
        ("limit", 0),
        ("ema", 1),
        ("seed", -1),
        ("schedule", "stairs"),
        ("bits", 9),
        ("size", 12),
        ("size", 0),
        ("coupling", "quadratic"),
        ("split_prior", "other"),
        ("hidden", 0),
        ("levels", 99),
    ],
)
def test_bad_values_are_refused_by_name(options, name, value):
    levels = {} if name == "levels" else {"levels": 3}
    with pytest.raises(ArgumentError) as caught:
        options(**levels, **{name: value})
    assert caught.value.argument == name


def test_defaults():
    config = TrainingOptions(["a"], "b", 1).architecture()
    assert config == GlowConfig(image_size=64)
    anywhere = TrainingOptions(["a"], "b", 1, any_size=True)
    assert anywhere.architecture().size is None and anywhere.crop_size(anywhere.architecture()) == 64


def test_base_fills_what_is_not_given_and_is_not_contradicted():
    base = GlowConfig(image_size=32, levels=2, steps=3, hidden=9, coupling="affine")
    assert TrainingOptions(["a"], "b", 1).architecture(base) == base
    assert TrainingOptions(["a"], "b", 1, size=16, bits=5).architecture(base).size == (16, 16)
    assert TrainingOptions(["a"], "b", 1, any_size=True).architecture(base).size is None
    with pytest.raises(ArgumentError, match="hidden: got 8; accepted: 9"):
        TrainingOptions(["a"], "b", 1, hidden=8).architecture(base)


def test_command_has_no_folders():
    options = TrainingOptions(["/x/y/a.zip"], "/x/out", 2.0, init="/x/p.safetensors", any_size=True, bits=5)
    expected = "flowsolve train a.zip --hours 2.0 --bits 5 --init p.safetensors --any-size"
    assert options.command() == expected
