"""The child: the processes that run a handler. Standard library only, Python 3.8 and newer.

Nothing here is imported by the parent but `worker.protocol`. The other half is `harness.runtime`.
"""
