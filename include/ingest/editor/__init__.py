"""An edited dataset file: checked, and tried on a file that is there, in a child process with limits.

The text comes from a browser. So of what it says, nothing is used that could reach further than its user: no path, no
code that the stored file does not name, no larger limit, no template, and no database. It is never written anywhere.
"""
