"""How pictures come in: from a request, or from a folder."""
