"""PostgreSQL's side: the target, the run's staging tables, promotion, and who wrote a row."""
