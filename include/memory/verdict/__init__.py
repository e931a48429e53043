"""From the series of a process to the verdict on it: pure functions."""
