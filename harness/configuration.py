"""How a tester is set up; what it is asked to test is in specs.py."""

from __future__ import annotations

from pydantic import Field

from harness.spec_fields import PathText
from harness.spec_model import SpecModel


class RuntimeTestingConfiguration(SpecModel):
    """The settings of a RuntimeTester."""

    workspace_dir: PathText | None = Field(
        default=None,
        description="Directory below which run directories are made and removed; None: the "
        "system's directory for temporary files",
    )
    enable_logical_matching: bool = Field(
        default=True, description="Match outputs to inputs of scripts by their logical names"
    )
    semantic_threshold: float = Field(
        default=0.7, ge=0, le=1, description="Similarity from which two logical names match"
    )
    enable_inference_testing: bool = Field(
        default=True, description="Allow handlers to be tested, beside scripts"
    )
