"""Commands that the figures in the documentation come from; run as ``python -m benchmarks.NAME``."""
