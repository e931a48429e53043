"""How the tests are run: what they need, which are slow, which have a process of their own."""
