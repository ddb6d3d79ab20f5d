"""The features of the model: their names, and how they are made of the raw columns."""

import numpy

COLUMNS = ("amount", "age_days")


def log_scaled(rows):
    return numpy.log1p(numpy.abs(rows))
