"""The operating system's side: environment, processes, limits, the channel, the session.

It runs one worker and tells what happened. Verdicts are made of it in `harness.checks`.
"""
