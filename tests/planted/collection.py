"""All planted faults by name, in an order that stays."""

from __future__ import annotations

from dataclasses import replace

from tests.planted import answers, error_faults, everyday_faults, package_faults, run_faults
from tests.planted.fault import Planted, planted, returning


def faults() -> dict[str, Planted]:
    """Give every fault; what is only like one, and has no code, is none."""
    tables = {
        "package": _of_packages(),
        "run": run_faults.FAULTS,
        "error": error_faults.FAULTS,
        "model": _of_a_model(),
        "answer": _answers(),
        "everyday": everyday_faults.FAULTS,
    }
    return {
        f"{table}: {name}": fault
        for table, planted_there in tables.items()
        for name, fault in planted_there.items()
        if fault.codes
    }


def _of_packages() -> dict[str, Planted]:
    """Ask their handler, which answers what it was given, for what it is given."""
    return {
        name: replace(fault, accept="text/csv") for name, fault in package_faults.FAULTS.items()
    }


def _of_a_model() -> dict[str, Planted]:
    given = Planted(error_faults.MODEL_FILES, (), content_type="application/json")
    return {
        body: replace(given, codes=(code,), words=words, body=body)
        for body, (code, words) in error_faults.TO_A_MODEL.items()
        if code is not None
    }


def _answers() -> dict[str, Planted]:
    return {
        name: planted(returning(expression), codes)
        for name, (expression, codes) in answers.BODIES.items()
    }
