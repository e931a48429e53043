"""From the bytes of a CSV file to its records: grammar, blocks of whole records, chunks."""
