"""Studies: many runs planned, carried out, and what they say about solvers, starts and weights."""
