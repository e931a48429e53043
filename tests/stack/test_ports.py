"""Two stacks that start at the same time do not choose the same ports."""

from __future__ import annotations

import os
import socket

from stack.ports import HOST, free_port, reserve, reserve_free


def test_a_reserved_port_is_left_alone_until_it_is_let_go() -> None:
    wanted = free_port()
    port, handle = reserve_free(wanted)
    assert port == wanted
    other, other_handle = reserve_free(wanted)
    assert other != wanted
    assert reserve(wanted) is None
    os.close(handle)
    os.close(other_handle)
    again, handle = reserve_free(wanted)
    assert again == wanted
    os.close(handle)


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port, handle = reserve_free(taken.getsockname()[1])
        assert port != taken.getsockname()[1]
        os.close(handle)
