"""What a picture is beyond its size: when and with what it was taken, and how it looks."""
