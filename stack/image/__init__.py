"""`./run image`: Millrace's image, by docker, podman or buildah. `slim.py` is run inside the build."""
