"""What the verbs of the command line do, as plain functions that return plain data."""
