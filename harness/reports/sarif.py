"""Findings as SARIF 2.1.0, which code hosts show beside the lines (OASIS, "Static Analysis Results
Interchange Format").
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from harness.lint.finding import Finding

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(findings: Iterable[Finding], version: str) -> str:
    """Give the whole document as JSON."""
    found = list(findings)
    codes = sorted({finding.code for finding in found})
    driver = {
        "name": "handlerproof",
        "version": version,
        "rules": [{"id": code} for code in codes],
    }
    run = {"tool": {"driver": driver}, "results": [_result(finding) for finding in found]}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def _result(finding: Finding) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "level": finding.severity,
        "message": {"text": finding.message},
    }
    if finding.file is not None:
        place: dict[str, Any] = {"artifactLocation": {"uri": finding.file}}
        if finding.line is not None:
            place["region"] = {"startLine": finding.line}
        result["locations"] = [{"physicalLocation": place}]
    return result
