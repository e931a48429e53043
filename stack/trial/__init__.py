"""`./run compose-test`: docker-compose.yaml brought up in containers, driven and taken down.

`engine.py` finds Docker, or starts a daemon of its own; `bases.py` makes what no registry is there for; `deployment.py`
is the project of compose; `checks.py` says what has to hold; `command.py` is their order.
"""
