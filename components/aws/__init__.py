"""What the stack has on AWS: one file per service.

Leaves out the choice between AWS and the cluster, see backends.py. Imported only by stacks that
use AWS, but for the files named config: those are plain data and load no provider (PL-3).
"""
