import pytest
from pydantic import ValidationError

from flowsolve.errors import ArgumentError
from flowsolve.flows import GlowConfig


def test_latent_shapes_hold_as_many_values_as_the_image():
    shapes = GlowConfig(image_size=(32, 48), levels=3).latent_shapes()
    assert shapes == [(6, 16, 24), (12, 8, 12), (48, 4, 6)]
    assert sum(c * h * w for c, h, w in shapes) == 3 * 32 * 48


def test_one_number_or_a_list_for_the_size():
    assert GlowConfig(image_size=64).size == (64, 64)
    assert GlowConfig(image_size=[64, 32]).size == (64, 32)
    assert GlowConfig().size is None


def test_config_goes_through_json():
    config = GlowConfig(image_size=(32, 64), coupling="affine")
    assert GlowConfig.model_validate(config.model_dump(mode="json")) == config


def test_fields_for_foreign_flows_stand_in_a_file_only_where_they_say_something():
    plain = GlowConfig(image_size=64)
    assert list(plain.model_dump(mode="json")) == [
        "family", "channels", "image_size", "levels", "steps", "hidden", "coupling", "split_prior", "bits",
    ]  # fmt: skip
    foreign = GlowConfig(last_steps=1, border=1, changed="first", shift="after", last_scale_offset=0.0)
    document = foreign.model_dump(mode="json")
    assert document["last_scale_offset"] == 0 and "scale_offset" not in document
    assert GlowConfig.model_validate(document) == foreign


def test_the_last_level_may_differ():
    config = GlowConfig(levels=3, steps=4, last_steps=1, scale_offset=0.25, last_scale_offset=1.0)
    assert [config.level_steps(level) for level in range(3)] == [4, 4, 1]
    assert [config.level_scale_offset(level) for level in range(3)] == [0.25, 0.25, 1.0]
    same = GlowConfig(levels=2, scale_offset=0.5)
    assert same.level_steps(1) == same.steps and same.level_scale_offset(1) == 0.5


@pytest.mark.parametrize(
    "bad",
    [
        {"image_size": 60},
        {"image_size": [64, 40, 3]},
        {"image_size": 0},
        {"levels": 0},
        {"steps": 0},
        {"hidden": -1},
        {"coupling": "quadratic"},
        {"split_prior": "learned"},
        {"family": "nice"},
        {"depth": 3},
        {"last_steps": 0},
        {"border": 2},
        {"changed": "third"},
        {"shift": "never"},
        {"scale_offset": -1.0},
        {"last_scale_offset": float("inf")},
    ],
)
def test_bad_values_are_refused(bad):
    with pytest.raises(ValidationError, match=next(iter(bad))):
        GlowConfig(**bad)


def test_latent_shapes_need_a_size_that_fits():
    with pytest.raises(ArgumentError, match="multiples of 16"):
        GlowConfig().latent_shapes()
    with pytest.raises(ArgumentError, match="multiples of 16"):
        GlowConfig().latent_shapes((64, 40))
