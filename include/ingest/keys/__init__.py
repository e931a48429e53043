"""Which record wins: among the records of one file, and against what other files brought."""
