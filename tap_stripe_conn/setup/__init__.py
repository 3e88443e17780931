"""The form in which a connection is created: ask, test, save."""
