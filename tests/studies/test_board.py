import io

from rich.console import Console

from flowsolve.studies.board import Board
from flowsolve.studies.cell import Outcome


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def make_board(terminal):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=120, color_system=None)
    clock = Clock()
    return Board(console, clock=clock), file, clock


def failure(cell):
    return Outcome(cell, 1.0, failure={"cell": cell, "error": "ValueError", "message": "no\n[red]way"})


def test_lines_where_there_is_no_terminal():
    board, file, clock = make_board(False)
    with board.over(10, before=2, failed=1, workers=2):
        board.began("a")
        clock.now = 4
        board.ended(Outcome("a", 4.0))
        board.began("b")
        board.ended(failure("b"))
        board.ended(Outcome("c", 0.5, resumed=True))
    lines = file.getvalue().splitlines()
    assert lines[0] == "2/10 done, 0 running, 1 failed, 7 waiting"
    assert lines[1] == "[4/10] a done 4.0 s  (24 s left)"
    assert lines[2].startswith("[5/10] b failed: ValueError: no [red]way")
    assert lines[3].startswith("[6/10] c resumed and done 0.5 s")
    assert "\x1b" not in file.getvalue()


def test_the_board_of_a_terminal():
    board, _, clock = make_board(True)
    page = Console(width=160, record=True, file=io.StringIO())
    board.total, board.before, board.workers = 8, 2, 2
    for cell in ("one", "two"):
        board.began(cell)
    clock.now = 30
    board.ended(Outcome("one", 30.0))
    board.began("three")
    board._live = object()
    board.ended(failure("two"))
    clock.now = 95
    page.print(board.render())
    text = page.export_text()
    assert "3/8 done, 1 running, 1 failed, 3 waiting, 3 min 10 s left" in text
    assert "three" in text and "1 min 05 s" in text
    assert "two: ValueError: no" in text and "[red]way" in text


def test_no_time_left_before_a_cell_has_ended_and_after_the_last():
    board, file, _ = make_board(False)
    assert board.seconds_left() is None
    with board.over(1, 0, 0, 1):
        board.ended(Outcome("a", 1.0))
    assert board.seconds_left() == 0 and file.getvalue().splitlines()[-1] == "[1/1] a done 1.0 s"


def test_a_silent_board_writes_nothing():
    file = io.StringIO()
    board = Board(Console(file=file), silent=True)
    with board.over(1, 0, 0, 1):
        board.began("a")
        board.ended(Outcome("a"))
    assert file.getvalue() == "" and board.done == 1
