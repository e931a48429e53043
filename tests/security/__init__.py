"""What somebody with fewer rights gives to somebody with more: typed paths, links, planted code."""
