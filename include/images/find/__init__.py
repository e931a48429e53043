"""What pictures are found by: tags and metadata, facts of their bytes, and likeness."""
