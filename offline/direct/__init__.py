"""Bringing a stack up in a cluster without the engine: what is sent, in which order, until ready.

Only for stacks that nobody would miss; others need the engine (stack.py says why).
"""
