"""The benchmark of what shares the workers."""
