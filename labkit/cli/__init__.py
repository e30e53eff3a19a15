"""The command line: thin doors to the functions that the lessons call."""
