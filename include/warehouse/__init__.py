"""The warehouse's own schema `millrace`: its versioned migrations and how they are applied."""
