"""Files whose columns change from day to day: how a header fits the dataset, and what becomes of the rest of it."""
