import pytest

from flowsolve import registry as registry_module
from flowsolve.errors import ArgumentError
from flowsolve.registry import Registry


@pytest.fixture
def animals():
    registry = Registry("animal")

    @registry.register("tapir")
    class Tapir:
        """A tapir.

        It has a trunk.
        """

    registry.register("okapi")(object())
    return registry


def test_names_are_sorted_and_found(animals):
    assert list(animals) == ["okapi", "tapir"]
    assert "tapir" in animals and "lion" not in animals
    assert animals.get("tapir").__name__ == "Tapir"


def test_unknown_name_lists_the_names_and_suggests_the_nearest(animals):
    with pytest.raises(
        ArgumentError, match=r"animal: got 'tapr'; accepted: okapi, tapir \(did you mean 'tapir'"
    ):
        animals.get("tapr")


def test_taken_name_is_refused(animals):
    with pytest.raises(ArgumentError, match="not taken"):
        animals.register("okapi")(object())


def test_summary_is_the_first_line_of_the_docstring(animals):
    assert animals.summary("tapir") == "A tapir."


def test_entry_points_add_names_but_never_replace_ours(monkeypatch):
    class Point:
        def __init__(self, name):
            self.name = name

        def load(self):
            return f"loaded {self.name}"

    monkeypatch.setattr(registry_module, "entry_points", lambda group: [Point("own"), Point("foreign")])
    registry = Registry("thing", "some.group")
    registry.register("own")("ours")
    assert registry.get("own") == "ours"
    assert registry.get("foreign") == "loaded foreign"
