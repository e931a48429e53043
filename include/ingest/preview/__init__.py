"""What a run would do with a file, without doing it: the same decisions, and nothing is written anywhere."""
