"""`python -m fuzz.mutants`: which lines of the ingest does no test hold?

A mutant is the code with one small fault: a comparison turned, a bound moved by one, a statement left out. The tests
that reach its line run on it; a mutant that they all pass shows a line that no test holds.
"""
