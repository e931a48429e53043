"""Benchmarks: `./run bench <name>`. Each prints its figures as JSON in the last line."""
