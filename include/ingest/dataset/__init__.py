"""What a dataset file may say: its columns and their SQL types, limits, schedule and template."""
