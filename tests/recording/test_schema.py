from flowsolve.recording.schema import RUN_STATUSES, SCHEMA, UNITS


def test_schema_is_a_positive_integer_and_statuses_are_distinct():
    assert isinstance(SCHEMA, int) and SCHEMA >= 1
    assert len(set(RUN_STATUSES)) == len(RUN_STATUSES)
    assert UNITS["psnr"] == "dB"
