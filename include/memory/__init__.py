"""Memory audit: which process leaks memory, how fast, and what holds it. Sample → judge → prove → show.

`watcher/` samples every process of its machine into a spool, and brings that to the warehouse. `verdict/` turns series
into verdicts; `audit.py` is a round of that. `inside/` answers inside a process that is asked: what grew, and who holds
it. `tasks/` measures a single task, or a function under `memory_budget`. `report/` and `pages/` are what people see.
"""
