"""The benchmark of rejected rows and their replay."""
