"""Links that show a picture's renditions to anybody, without a login, until they expire or are revoked."""
