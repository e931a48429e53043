"""The interface on a real server, as for the tests of its routes, and a receiver of callbacks."""

from tests.images.test_api import client, here, url
from tests.images.test_callbacks import receiver

__all__ = ["client", "here", "receiver", "url"]
