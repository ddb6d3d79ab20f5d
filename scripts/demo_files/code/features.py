"""What the churn model sees of a customer; training and serving share it."""

import numpy

COLUMNS = ("tenure_months", "monthly_charge", "support_calls")


def table(rows):
    """Make the model's table of customers: their columns, and calls per month of tenure."""
    rows = numpy.asarray(rows, dtype=float).reshape(-1, len(COLUMNS))
    calls_per_month = rows[:, 2] / numpy.maximum(rows[:, 0], 1)
    return numpy.column_stack([rows, calls_per_month])
