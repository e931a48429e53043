"""`./run campaign`: faults at random moments, by a seed, on a cluster of its own; and after each round, what must hold.

ground   the cluster: its folders, processes, network and disks
cargo    files and pictures that go in, and what must come out
faults   what goes wrong
round    work, faults at their moments, waiting, and what a person would do
checks   what must hold afterwards
report   what is written about it
"""
