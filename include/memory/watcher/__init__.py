"""What is seen of a process from outside, once a minute. Needs the standard library only, so that it stays small."""
