"""The warehouse: how it is reached, and its own schema `millrace`, by versioned migrations."""
