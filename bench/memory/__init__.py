"""The benchmark of the memory audit: verdicts on simulated and real processes, and what the audit costs."""
