"""What is asked of a handler, and how it is judged.

The one place where what happened in a worker (`harness.runtime`) becomes a verdict.
"""
