"""The command line: convenience on top of the program, one file per concern."""
