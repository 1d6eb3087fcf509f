"""What a change does to a stack, held against another revision: changes, dangers, cost, policies.

snapshot.py records, revision.py fetches the other one, compare.py and dangers.py judge, report.py
puts it together, view.py and comment.py show it.
"""
