"""What the ledger knows, as plain values for the page and for scripts. Functions take an open async connection.

One module a question: `datasets.py` which ones there are and what needs a person, `attention.py` what that is,
`catalogue.py` what their files say, `expected.py` which file comes next, `runs.py` what runs came to, `before.py` what
changed from the run before, `progress.py` how far one is, `rejected.py` which rows were rejected, `marking.py` where in
the record the bad value stands. Lists come in pages that begin after a key, so that the last page costs what the first
one does.
"""
