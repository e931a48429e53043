"""Whether dataset files are right, alone, together and against a warehouse, before a run meets them."""
