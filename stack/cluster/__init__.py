"""`./run cluster`: the services of docker-compose.yaml as plain processes, each on a host made of namespaces.

`compose.py` reads the file, `topology.py` says which hosts there are, `supervisor.py` starts them in order in a network
of its own, and `host.py` is the first process of each. Nothing is left when the first process ends: neither the
machine's network nor its mounts are touched.
"""
