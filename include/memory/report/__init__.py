"""What the audit knows, as plain values for the page and for scripts. Functions take an open async connection.

One module a question: `processes.py` which ones there are, `timeline.py` what one took and what happened meanwhile,
`profiles.py` what was found in it, `difference.py` what changed between two profiles, `tasks.py` who made it grow.
"""
