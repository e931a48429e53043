"""What a single piece of work takes and keeps: of a task, and of a function under `memory_budget`."""
