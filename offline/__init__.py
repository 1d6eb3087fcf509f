"""The program without an engine: its graph as data, and what can be made of it."""
