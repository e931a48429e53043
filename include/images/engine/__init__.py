"""From the bytes of a picture to its renditions: decode, profile, crop, resize, encode, in a process of its own."""
