"""What a file's columns hold: a bounded random sample of its records, figures of it, and where they are kept."""
