"""From a file to a dataset file: what `init` finds in a CSV file, and how it writes that down.

`head` reads the beginning and guesses encoding, dialect and layout; `profile` judges every cell of the file by compiled
loops (`kernel`, `cells`, `tally`); `values`, `moments` and `keys` draw conclusions from what was counted; `compose`
writes the YAML.
"""
