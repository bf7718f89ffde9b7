"""Whether a restoration is worse than its classical start, judged without the truth."""
