"""The subcommands of `python -m include.ingest`: each is a module with `add_parser(subparsers)` and `run(options)`."""
