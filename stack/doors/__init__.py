"""What `./run` hands over to: other command lines on this stack, and its logs."""
