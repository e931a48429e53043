"""Sample inputs for the demo, the tests and the benchmarks, made from a seed."""
