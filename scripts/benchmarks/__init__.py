"""What scripts/bench measures: a module a part, and what they share."""
