"""Pipelines made of a few lines: scripts that write a file, handlers that take one shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.pipeline_specs import InferencePipelineTestingSpec

MAIN = "def main(input_paths, output_paths, environ_vars, job_args):\n"


@dataclass
class Made:
    """Nodes of a pipeline, added one by one below a folder."""

    folder: Path
    nodes: list[str] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    scripts: dict[str, dict[str, Any]] = field(default_factory=dict)
    handlers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def script(
        self, node: str, body: str, after: Mapping[str, str] | None = None, **fields: Any
    ) -> None:
        """Add a script: the lines of its main, and for each input the node that gives it.

        Its output, and that of every other, is called like its node.
        """
        file = self.folder / "scripts" / f"{node}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
        file.write_text(f"import json, os, csv, sys, time\n{MAIN}{lines}")
        self.nodes.append(node)
        self.edges += [(source, node) for source in (after or {}).values()]
        self.scripts[node] = {
            "script_path": str(file),
            "input_paths": {name: str(self.folder / "in" / name) for name in after or {}},
            "output_paths": {f"{node}_data": str(self.folder / "out" / node)},
            **fields,
        }

    def handler(self, node: str, code: str, after: list[str], **fields: Any) -> None:
        """Add a handler of one file."""
        file = self.folder / "handlers" / node / "inference.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
        self.nodes.append(node)
        self.edges += [(source, node) for source in after]
        self.handlers[node] = {
            "handler_name": node,
            "handler_path": str(file),
            "supported_accept_types": ["application/json"],
            **fields,
        }

    def spec(self, **fields: Any) -> InferencePipelineTestingSpec:
        """Give the whole as a spec."""
        return InferencePipelineTestingSpec.model_validate(
            {
                "dag": {"nodes": self.nodes, "edges": self.edges},
                "script_specs": self.scripts,
                "inference_handlers": self.handlers,
                "test_workspace_root": str(self.folder),
                **fields,
            }
        )
