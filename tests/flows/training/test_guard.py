from flowsolve.flows.training.guard import Guard, Verdict

NAN, INF = float("nan"), float("inf")


def test_bad_steps_are_skipped_and_several_roll_back():
    guard = Guard(patience=3)
    steps = [(5, 1), (NAN, 1), (5, INF), (5, 1), (INF, 1), (40, 1), (NAN, NAN), (5, 1)]
    take, skip, back = Verdict.TAKE, Verdict.SKIP, Verdict.ROLL_BACK
    assert [guard.judge(*step) for step in steps] == [take, skip, skip, take, skip, skip, back, take]


def test_health_is_that_of_the_latest_step():
    guard = Guard()
    assert guard.healthy
    guard.judge(NAN, 1)
    assert not guard.healthy
    guard.judge(5, 1)
    assert guard.healthy
