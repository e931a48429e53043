"""From a machine's spool to the warehouse, and orders for profiles back. Takes psycopg, which the watcher does not."""
