"""The interface on a real server, as for the tests of its routes."""

from tests.images.test_api import client, here, url

__all__ = ["client", "here", "url"]
