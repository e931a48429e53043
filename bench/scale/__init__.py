"""The benchmark of scale: more workers, larger files, other sources, a year of days."""
