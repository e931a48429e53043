"""Memory audit: which process leaks, how fast, and what holds it. Sample → judge → prove; start at `judge.py`.

`sample.py` and `processes.py` read /proc. `judge.py` turns series into verdicts. `agent.py` answers inside a process,
by way of `probe.py`, which asks it from another.
"""
