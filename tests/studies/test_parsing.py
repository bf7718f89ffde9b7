import pytest

from flowsolve.errors import ArgumentError
from flowsolve.studies.parsing import read_study
from flowsolve.studies.problems import StudyFileError

WRONG = """\
images = ["a.png"]
limit = "x"
colour = 3
[budget]
max_iter = -1
[tasks.mild]
task = "deblur"
kernel_size = 3
box = 4
[tasks.bad]
task = "deblurr"
[solvers.fast]
solver = "adam"
rat = 0.1
other = 3
[solvers.negative]
solver = "lbfgs"
history = -1
[[cells]]
task = "nothing"
[[cells]]
task = ["mild", "deblur", "bad"]
solver = ["lbfgs", "fast", "lbfg"]
lam = ["0.3 map", "mapp", -1, 1e-3]
start = ["usual", "encoded:classical",
  "encoded:nothing"]
formulation = "analysys"
prior = ["faces64", "raw:faces64-additive", "x.safetensors", "faces65"]
seed = [0, true]
phii = 1
"""


def problems_of(text, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyFileError) as caught:
        read_study(path).check()
    return {(p.line, p.message.split(":")[0]): p.message for p in caught.value.problems}, caught.value


def test_every_mistake_is_found_at_once_each_with_its_line(tmp_path):
    problems, error = problems_of(WRONG, tmp_path)
    assert list(problems) == [
        (2, "limit"),
        (3, "colour"),
        (5, "budget.max_iter"),
        (9, "tasks.mild.box"),
        (11, "tasks.bad.task"),
        (14, "solvers.fast.rat"),
        (15, "solvers.fast.other"),
        (18, "solvers.negative.history"),
        (20, "cells[0].task[0]"),
        (23, "cells[1].solver[2]"),
        (24, "cells[1].lam[1]"),
        (24, "cells[1].lam[2]"),
        (26, "cells[1].start[2]"),
        (27, "cells[1].formulation[0]"),
        (28, "cells[1].prior[3]"),
        (29, "cells[1].seed[1]"),
        (30, "cells[1].phii"),
    ]
    assert "did you mean 'deblur'" in problems[11, "tasks.bad.task"]
    assert "[solvers.NAME] of this file: fast, negative" in problems[23, "cells[1].solver[2]"]
    assert "accepted: lr, beta1" in problems[14, "solvers.fast.rat"]
    assert "phi" in problems[30, "cells[1].phii"]
    assert error.lines()[0].startswith(f"{tmp_path / 'study.toml'}:2: limit")
    assert str(error).count("\n") == len(problems) - 1


def test_what_is_right_is_read_on_with_its_lines(tmp_path):
    path = tmp_path / "study.toml"
    first, second = 'task = "nothing"\n', 'task = ["deblurr", "deblur"]\nsigma = [-1,\n 1]\n'
    text = f'images = "a"\n[[cells]]\n{first}[[cells]]\n{second}'
    path.write_text(text, encoding="utf-8")
    file = read_study(path)
    assert [p.line for p in file.problems] == [3, 5, 6]
    (cells,) = file.study.cells
    assert cells.task == ["deblur"] and cells.sigma == [1.0]
    # The table that is left was the second, its items the second of their lists.
    assert [file.line(("cells", 0, key, 0)) for key in ("task", "sigma")] == [5, 7]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("images = [\n'a'\nlimit = 3", 3, "not TOML"),
        ("a = 1\na = 2", 2, "not TOML"),
        ("[[cells]]\ntask = 'deblur'", 1, "images: is missing"),
        ("images = 'a'", 1, "cells: is missing"),
        ("images = 'a'\ncells = []", 2, "cells"),
        ("images = 'a'\n[[cells]]\nsolver = 'adam'", 2, r"cells\[0\].task: is missing"),
        ("images = 'a'\n[[cells]]\ntask = []", 3, "task"),
        ("images = 'a'\n[[cells]]\ntask = 'deblur'\nmax_iter = 1.5", 4, "max_iter"),
        ("images = 'a'\n[compute]\ndtype = 'float16'\n[[cells]]\ntask = 'deblur'", 3, "dtype"),
        ("images = 'a'\ntasks = 3\n[[cells]]\ntask = 'deblur'", 2, "tasks"),
        (
            "images = 'a'\n[solvers.a]\nsolver = 'hybrid'\ninner = 'nothing'\n[[cells]]\ntask = 'deblur'",
            2,
            "a",
        ),
    ],
)
def test_single_mistakes(text, line, said, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyFileError, match=f":{line}: .*{said}"):
        read_study(path).check()


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"study: got .*none\.toml"):
        read_study(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ArgumentError, match="UTF-8"):
        read_study(tmp_path / "binary.toml")
