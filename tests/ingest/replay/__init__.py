"""Rejected rows: corrected, replayed, listed."""
