import json
import os

import pytest
from helpers import make_problem

from flowsolve import operators as ops
from flowsolve.errors import ArgumentError, UnsupportedError
from flowsolve.methods import Method, Stage, check_name, plan_method, read_method, registry

START = Stage(init="zeros", max_iter=4)
OPERATORS = [ops.Identity((3, 8, 8)), ops.Mask.box(3, dim_shape=(3, 8, 8)), ops.Blur.uniform(3, (3, 8, 8))]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
@pytest.mark.parametrize("name", list(registry))
def test_every_method_goes_to_json_and_back_and_into_words(name, operator, tiny_prior):
    try:
        method = plan_method(name, make_problem(operator), tiny_prior)
    except UnsupportedError as error:
        assert name in str(error)
        return
    again = Method.from_json(json.loads(json.dumps(method.as_json())))
    assert again == method and method.reason
    words = method.in_words()
    assert len(words) == len(method.stages)
    for k, (line, stage) in enumerate(zip(words, method.stages, strict=True), 1):
        assert line.startswith(f"{k}. over ") if stage.max_iter else line.startswith(f"{k}. ")


def test_a_method_that_does_not_exist_names_the_nearest(tiny_prior):
    for refuse in (check_name, lambda name: plan_method(name, make_problem(), tiny_prior)):
        with pytest.raises(ArgumentError, match="did you mean 'oberlin-verm-2021'"):
            refuse("oberlin-verm")


@pytest.mark.parametrize("method", [None, 3, [], {}])
def test_what_is_no_method_is_refused(method, tiny_prior):
    with pytest.raises(ArgumentError, match="a name, a JSON file or a Method"):
        plan_method(method, make_problem(), tiny_prior)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "a list of stages"),
        ('"zeros"', "a list of stages"),
        ('{"stages": {"init": "zeros"}}', "a list of stages"),
        ('{"stage": []}', "a list of stages"),
        ("[]", "at least one stage"),
        ("[3]", "a JSON object"),
        ('[{"init": "zeros", "iterations": 3}]', "the key 'iterations'"),
        ('[{"init": "zeros", "max_iter": "3"}]', "max_iter"),
        ('{"stages": [{"init": "zeros"}], "gaurded": true}', "the key 'gaurded'"),
        ('{"stages": [{"init": "zeros"}], "guarded": "false"}', "guarded"),
        ('{"stages": [{"init": "zeros"}], "name": 3}', "name"),
        ('[{"init": "previous"}]', "in the first stage"),
        ("[{}]", "in the first stage"),
        ('[{"init": "zeros"}, {"init": "checked:harmonic"}]', "holds measurements out"),
    ],
)
def test_a_file_that_is_no_method_says_why(text, named, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(ArgumentError) as error:
        read_method(path)
    assert named in str(error.value)


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe")
    for name in ("none.json", "binary.json", "."):
        with pytest.raises(ArgumentError, match="cannot be read"):
            read_method(tmp_path / name)


def test_a_file_is_named_after_itself_and_planned_as_it_is(tmp_path, tiny_prior):
    path = tmp_path / "own.json"
    path.write_text(json.dumps([START.as_json()]))
    assert plan_method(str(path), make_problem(), tiny_prior) == Method("own", (START,))
    assert plan_method(path, make_problem(), tiny_prior).name == "own"


@pytest.mark.parametrize("lengths", [(80, 50), (1, 99), (10, 10, 10), (0, 7), (3,)])
def test_all_stages_are_shortened_by_the_same_share(lengths):
    method = Method("m", tuple(Stage(init="zeros", max_iter=length) for length in lengths))
    for most in range(1, sum(lengths) + 2):
        shorter = [stage.max_iter for stage in method.shortened(most).stages]
        assert sum(shorter) == min(most, sum(lengths))
        share = min(1, most / sum(lengths))
        assert all(abs(n - share * length) <= 1 for n, length in zip(shorter, lengths, strict=True))
    assert method.shortened(None) is method


@pytest.mark.parametrize(
    ("name", "stages"), [(3, ()), ("", (Stage(init="zeros"),)), ("a\nb", ()), ("a", "bc")]
)
def test_a_method_is_named_in_one_line_and_made_of_stages(name, stages):
    with pytest.raises(ArgumentError, match=r"name|stages"):
        Method(name, stages)


def test_what_is_registered_must_return_a_method(tiny_prior, monkeypatch):
    monkeypatch.setitem(registry._items, "nothing", lambda problem, prior: None)
    with pytest.raises(ArgumentError, match="nothing, which returned NoneType"):
        plan_method("nothing", make_problem(), tiny_prior)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_file_of_a_method_is_a_regular_one(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    for name, word in (("pipe.json", "a named pipe"), ("zero.json", "a device")):
        with pytest.raises(ArgumentError, match=rf"^method: got .*{word}"):
            read_method(tmp_path / name)
