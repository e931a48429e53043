"""Memory audit: which process leaks memory, how fast, and what holds it. Sample → judge → prove → show.

`watch.py` samples every process of its machine (`sample.py`, `processes.py`) into the spool, and `ship.py` brings that
to the warehouse. `judge.py` turns series into verdicts, `audit.py` is a round of that. `agent.py` answers inside a
process, by way of `probe.py`, which asks it from another. `task.py` measures each task, `budget.py` a function,
`report/` is what the page shows.
"""
