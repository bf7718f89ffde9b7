import dataclasses
import re

import numpy as np
import pytest

from flowsolve.encoding import write_png
from flowsolve.errors import ArgumentError
from flowsolve.studies.cells import Cell
from flowsolve.studies.inputs import read_inputs
from flowsolve.studies.planning import make_plan
from flowsolve.studies.problems import StudyFileError

TINY = 'prior = "tiny.safetensors"\n'


def plan_of(study, text, head='images = "photos"\n'):
    return make_plan(study(text, head))


def values(plan, *names):
    return [tuple(getattr(cell, name) for name in names) for cell in plan.cells]


def test_a_table_of_cells_stands_for_the_product_of_its_lists(study):
    plan = plan_of(
        study,
        """
[tasks.mild]
task = "deblur"
kernel_size = 3
sigma = [0.01, 0.02]
seed = 7
[solvers.short]
solver = "lbfgs"
history = 3
[[cells]]
task = ["mild", "denoise"]
formulation = ["analysis", "synthesis"]
solver = ["short", "adam"]
start = ["zeros", "adjoint"]
"""
        + TINY,
    )
    assert len(plan.cells) == (2 + 1) * 2 * 2 * 2
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert set(values(plan, "task", "task_name", "sigma", "measurement_seed")) == {
        ("mild", "deblur", 0.01, 7),
        ("mild", "deblur", 0.02, 7),
        ("denoise", "denoise", 0.1, 0),
    }
    assert set(values(plan, "formulation", "phi")) == {("analysis", "nll"), ("synthesis", "latent")}
    first = plan.cells[0]
    assert (first.solver, first.solver_name, first.solver_options) == ("short", "lbfgs", {"history": 3})
    assert first.operator == {"kernel_size": 3} and first.images == ("photo0", "photo1", "photo2")
    assert first.limits["max_iter"] == 400


def test_more_tables_list_single_cells(study):
    plan = plan_of(
        study,
        f"""
[budget]
max_iter = 9
[[cells]]
task = "deblur"
{TINY}
[[cells]]
task = "denoise"
sigma = 0.2
start = "random"
seed = 3
max_evaluations = 5
{TINY}
[[cells]]
task = "deblur"
{TINY}
""",
    )
    assert values(plan, "task", "sigma", "init", "seed") == [
        ("deblur", 0.01, "total-variation", 0),
        ("denoise", 0.2, "random", 3),
    ]
    assert [cell.limits["max_evaluations"] for cell in plan.cells] == [None, 5]
    assert [cell.limits["max_iter"] for cell in plan.cells] == [9, 9]


def test_weights_and_starts_stand_for_others(study):
    plan = plan_of(
        study,
        f"""
[[cells]]
task = ["denoise", "inpaint-random"]
lam = ["0.5 map", 0.25]
start = ["classical"]
formulation = ["analysis", "synthesis"]
{TINY}
[[cells]]
task = "denoise"
formulation = "synthesis"
start = ["usual", "encoded:classical"]
{TINY}
""",
    )
    # With sigma = 0 the MAP weight is the hard constraint, of which there are no multiples.
    assert set(values(plan, "task", "lam")) == {
        ("denoise", 0.0025),
        ("denoise", 0.25),
        ("denoise", "map"),
        ("inpaint-random", "map"),
        ("inpaint-random", 0.25),
    }
    assert set(values(plan, "task", "start", "init")) == {
        ("denoise", "classical", "total-variation"),
        ("inpaint-random", "classical", "harmonic"),
        ("denoise", "usual", "zeros"),
        ("denoise", "encoded:classical", "encoded:total-variation"),
    }


def test_a_start_that_ignores_its_seed_is_run_once(study):
    plan = plan_of(
        study, f'[[cells]]\ntask = "denoise"\nstart = ["adjoint", "random"]\nseed = [4, 5, 6]\n{TINY}'
    )
    assert values(plan, "start", "seed") == [("adjoint", 4), ("random", 4), ("random", 5), ("random", 6)]


def test_batches(study):
    plan = plan_of(study, f'[[cells]]\ntask = "denoise"\n{TINY}', 'images = "photos"\nbatch = 2\n')
    assert values(plan, "images", "first") == [(("photo0", "photo1"), 0), (("photo2",), 2)]
    assert plan_of(study, f'[[cells]]\ntask = "denoise"\n{TINY}', 'images = "photos"\nlimit = 1\n').cells[
        0
    ].images == ("photo0",)


def test_ids_are_stable_readable_and_safe_as_file_names(study):
    text = f"""
[tasks."../x y"]
task = "denoise"
[[cells]]
task = "../x y"
lam = [1e-3, "map"]
{TINY}
"""
    one, two = (plan_of(study, "# a comment\n" * n + text) for n in (0, 1))
    assert [c.id for c in one.cells] == [c.id for c in two.cells] and one.fingerprint == two.fingerprint
    for cell in one.cells:
        assert re.fullmatch(r"x-y-0\.1-analysis-nll-(lam0\.001-)?lbfgs-usual-s0-[0-9a-f]{8}", cell.id)
    assert Cell.from_dict(one.to_dict()["cells"][0] | {"later": 1}) == one.cells[0]


@pytest.mark.parametrize(
    "change",
    [
        ("[budget]\nmax_iter = 3\n", ""),
        ("[budget]\nrtol = 0\n", ""),
        ("[compute]\ndtype = 'float64'\n", ""),
        ("", "limit = 2\n"),
    ],
)
def test_whatever_changes_numbers_changes_the_fingerprint(study, change):
    text, head = change
    cells = f'[[cells]]\ntask = "denoise"\n{TINY}'
    plain = plan_of(study, cells)
    other = plan_of(study, text + cells, 'images = "photos"\n' + head)
    assert other.fingerprint != plain.fingerprint and other.cells[0].id != plain.cells[0].id


def test_other_images_of_the_same_names_are_another_study(study, small):
    path = study()
    write_png(path.parent / "photos" / "photo1.png", np.zeros((3, 8, 8)))
    # What was read is kept for the cells of a process: another one would read anew.
    read_inputs.cache_clear()
    assert make_plan(path).fingerprint != small.fingerprint


IMPOSSIBLE = f"""
[solvers.split]
solver = "forward_backward"
split = "flow"
[[cells]]
task = ["deblur", "inpaint-random"]
solver = ["lbfgs", "hybrid",
    "split"]
formulation = ["analysis", "synthesis"]
start = ["adjoint",
    "harmonic",
    "encoded:zeros"]
{TINY}
"""


def test_impossible_combinations_are_all_told_with_their_lines(study):
    with pytest.raises(StudyFileError) as caught:
        plan_of(
            study,
            IMPOSSIBLE + "[tasks.wide]\ntask = 'deblur'\nkernel_size = 30\n[[cells]]\ntask = 'wide'\n" + TINY,
        )
    told = [(p.line, p.message) for p in caught.value.problems]
    assert [(line, message.split(" for ")[0]) for line, message in told] == [
        (8, "solver 'hybrid'"),
        (9, "solver 'split'"),
        (9, "solver 'split'"),
        (12, "start 'harmonic'"),
        (13, "start 'encoded:zeros'"),
        (20, "task 'wide': kernel-size: got 30; accepted: an integer from 1 to 8"),
    ]
    assert "hard constraint" in told[0][1] and "works for a Mask" in told[3][1]


def test_mistakes_and_impossible_combinations_are_told_together(study):
    with pytest.raises(StudyFileError) as caught:
        plan_of(study, "colour = 1\n" + IMPOSSIBLE)
    assert [p.line for p in caught.value.problems] == [2, 9, 10, 10, 13, 14]


def test_impossible_combinations_are_left_out_where_the_file_says_so(study):
    plan = plan_of(study, IMPOSSIBLE, 'skip_impossible = true\nimages = "photos"\n')
    assert ("deblur", "harmonic") not in values(plan, "task", "start")
    assert ("inpaint-random", "harmonic") in values(plan, "task", "start")
    assert {c.task for c in plan.cells if c.solver == "split"} == {"deblur"}
    assert len(plan.cells) + sum(reason["cells"] for reason in plan.left_out) == 2 * 3 * 2 * 3
    assert {reason["line"] for reason in plan.left_out} == {9, 10, 13, 14}
    with pytest.raises(StudyFileError, match="no combination is left"):
        plan_of(
            study,
            f'[[cells]]\ntask = "deblur"\nstart = "harmonic"\n{TINY}',
            'skip_impossible = true\nimages = "photos"\n',
        )


@pytest.mark.parametrize(
    ("text", "head", "said"),
    [
        ('[[cells]]\ntask = "deblur"\n', 'images = "photos"\n', "2: .*faces64.*64x64.*8x8"),
        (
            '[[cells]]\ntask = "deblur"\nprior = "none.safetensors"',
            'images = "photos"\n',
            "4: .*none.safetensors",
        ),
        (
            f'[[cells]]\ntask = "deblur"\n{TINY}',
            'images = "none"\n',
            "1: images: got .*none, which does not exist",
        ),
        (
            f'[tasks.m]\ntask = "inpaint-box"\nmask = "none.png"\n[[cells]]\ntask = "m"\n{TINY}',
            'images = "photos"\n',
            "4: mask: got .*none.png",
        ),
    ],
)
def test_inputs_that_are_missing_or_do_not_fit(study, text, head, said):
    with pytest.raises(StudyFileError, match=f"study.toml:{said}"):
        plan_of(study, text, head)


def test_masks_and_kernels_are_files_of_the_study(study):
    text = f"""
[tasks.mask]
task = "inpaint-box"
mask = "mask.npy"
[tasks.kernel]
task = "deblur"
kernel = "kernel.npy"
[[cells]]
task = ["mask", "kernel"]
{TINY}
"""
    folder = study(text).parent
    np.save(folder / "mask.npy", np.eye(8))
    np.save(folder / "kernel.npy", np.ones((3, 1)) / 3)
    plan = make_plan(study(text))
    assert [cell.operator for cell in plan.cells] == [{"mask": "mask.npy"}, {"kernel": "kernel.npy"}]
    assert plan.inputs.files["mask"]["mask.npy"].sum() == 8


def test_a_kernel_that_does_not_sum_to_1_needs_a_scale(study):
    def text(**scales):
        tables = [
            f"[tasks.{label}]\ntask = 'deblur'\nkernel = 'kernel.npy'\n{line}\n"
            for label, line in scales.items()
        ]
        return "".join(tables) + f"[[cells]]\ntask = {sorted(scales)}\n{TINY}"

    np.save(study("").parent / "kernel.npy", np.ones((3, 1)))
    with pytest.raises(StudyFileError, match="which sums to 3"):
        make_plan(study(text(plain="")))
    plan = make_plan(study(text(gain="kernel_scale = 'as-is'", mean="kernel_scale = 'normalise'")))
    assert sorted(kernel.sum() for kernel in plan.inputs.files["kernel"].values()) == [1, 3]
    assert len({cell.id for cell in plan.cells}) == 2
    for line, said in (("kernel_scale = 'half'", "kernel_scale"), ("kernel_scale = 3", "kernel_scale")):
        with pytest.raises(StudyFileError, match=said):
            make_plan(study(text(wrong=line)))


def test_files_are_looked_for_in_the_folder_of_data_first(study, tmp_path):
    path = study(f'[[cells]]\ntask = "denoise"\n{TINY}')
    (tmp_path / "data").mkdir()
    (path.parent / "photos").rename(tmp_path / "data" / "photos")
    assert len(make_plan(path, tmp_path / "data").inputs.x) == 3
    with pytest.raises(ArgumentError, match=r"data: got .*no folder"):
        make_plan(path, tmp_path / "none")


def test_a_plan_is_frozen(small):
    with pytest.raises(dataclasses.FrozenInstanceError):
        small.title = "another"


def test_missing_images_do_not_hide_combinations_without_meaning(study):
    text = f'[[cells]]\ntask = "denoise"\nstart = "harmonic"\n{TINY}[[cells]]\ntask = "deblur"\n{TINY}'
    with pytest.raises(StudyFileError) as raised:
        plan_of(study, text, 'images = "none"\n')
    first, second = raised.value.lines()
    assert ":1: images: got " in first and ":4: start 'harmonic' for task 'denoise'" in second
