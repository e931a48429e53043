"""What runs inside a process that is watched: it counts objects, traces allocations, and names holders."""
