"""What the user asks of a whole pipeline: its graph, and a spec for each node.

A node is a script or, where the registration step was, an inference handler. Whether the specs hold
together with the disk and with each other is seen by pipelines/ before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from harness import spec_files
from harness.dag import PipelineDAG
from harness.errors import PipelineError, SpecError
from harness.script_spec import DEFAULT_ROOT, ScriptExecutionSpec
from harness.spec_fields import PathText
from harness.spec_model import SpecModel, unknown_name
from harness.specs import InferenceHandlerSpec

NodeKind = Literal["script", "inference"]
Number = Annotated[int, Field(strict=True, gt=0, le=1_000_000)]


class PipelineTestingSpec(SpecModel):
    """A pipeline of scripts to be tested.

    In `script_specs` of a dictionary or a file, step_name and script_name may be left out: they are
    the node's name and that of the script's file.
    """

    mistake: ClassVar[type[SpecError]] = PipelineError

    dag: PipelineDAG = Field(description="The nodes, and which feeds which")
    script_specs: dict[str, ScriptExecutionSpec] = Field(
        default_factory=dict, description="The spec of each script, by the name of its node"
    )
    test_workspace_root: PathText = Field(
        default=DEFAULT_ROOT,
        description="Directory with scripts/ in it, where what nodes give is kept between runs",
    )
    max_rows: Number = Field(
        default=100, description="Rows of a script's output that are sent to a handler"
    )
    max_parallel: Number | None = Field(
        default=None, description="Nodes that may run side by side; None: one for each processor"
    )

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a spec written by hand, as TOML, YAML or JSON by the file's suffix.

        Relative paths in it are relative to where the file lies. Raises: SpecError.
        """
        fields = spec_files.read(Path(path))
        return cls.model_validate(_resolved(fields, Path(path).parent))

    def validate_configuration(self) -> list[str]:
        """List the nodes without a spec and what would be of no effect; empty: nothing."""
        return list(self._issues())

    def is_valid(self) -> bool:
        """Tell whether `validate_configuration` finds nothing."""
        return not self.validate_configuration()

    def kind_of(self, node: str) -> NodeKind | None:
        """Say what stands at a node; None: nothing."""
        return "script" if node in self.script_specs else None

    def _issues(self) -> Iterator[str]:
        if not self.dag.nodes:
            yield "dag has no nodes; there is nothing to test"
        for node in self.dag.nodes:
            if self.kind_of(node) is None:
                yield f"the node {node!r} has no spec"

    @field_validator("script_specs", mode="before")
    @classmethod
    def _name_what_was_not(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {node: _named(str(node), spec) for node, spec in value.items()}

    @model_validator(mode="after")
    def _know_every_script_node(self) -> Self:
        for node, spec in self.script_specs.items():
            _check_node(self.dag, "script_specs", node, spec.step_name)
        return self


class InferencePipelineTestingSpec(PipelineTestingSpec):
    """A pipeline of scripts and handlers to be tested.

    A handler whose step_name was not given gets its node's. Where a node has both, the handler
    stands for the script.
    """

    inference_handlers: dict[str, InferenceHandlerSpec] = Field(
        default_factory=dict, description="The spec of each handler, by the name of its node"
    )

    @classmethod
    def of(
        cls, spec: PipelineTestingSpec, handlers: Mapping[str, InferenceHandlerSpec] | None = None
    ) -> Self:
        """Give a pipeline with further handlers at its nodes. Raises: PipelineError."""
        fields = {name: getattr(spec, name) for name in spec.model_fields_set}
        return cls(
            **{
                **fields,
                "inference_handlers": {**fields.get("inference_handlers", {}), **(handlers or {})},
            }
        )

    def add_inference_handler(self, step_name: str, handler_spec: InferenceHandlerSpec) -> None:
        """Put a handler at a node of the graph, in place. Raises: PipelineError."""
        placed = _placed(step_name, handler_spec)
        _check_node(self.dag, "inference_handlers", step_name, placed.step_name)
        self.inference_handlers[step_name] = placed

    def has_inference_handlers(self) -> bool:
        """Tell whether any node is a handler."""
        return bool(self.inference_handlers)

    def get_inference_handler_names(self) -> list[str]:
        """List the nodes that are handlers."""
        return list(self.inference_handlers)

    def get_mixed_step_types(self) -> dict[str, NodeKind]:
        """Say of each node with a spec whether it is a "script" or "inference"."""
        kinds = {node: self.kind_of(node) for node in self.dag.nodes}
        return {node: kind for node, kind in kinds.items() if kind is not None}

    def validate_mixed_pipeline(self) -> list[str]:
        """List what `validate_configuration` lists."""
        return self.validate_configuration()

    def kind_of(self, node: str) -> NodeKind | None:
        """Say what stands at a node; None: nothing."""
        return "inference" if node in self.inference_handlers else super().kind_of(node)

    def _issues(self) -> Iterator[str]:
        yield from super()._issues()
        for node in self.inference_handlers:
            if node in self.script_specs:
                yield f"the script of {node!r} is of no effect; a handler stands at its node"

    @model_validator(mode="after")
    def _know_every_handler_node(self) -> Self:
        for node, spec in self.inference_handlers.items():
            self.inference_handlers[node] = placed = _placed(node, spec)
            _check_node(self.dag, "inference_handlers", node, placed.step_name)
        return self


# The seed's other name.
InferencePipelineSpec = InferencePipelineTestingSpec


def _named(node: str, spec: Any) -> Any:
    """Fill in the names that a script's fields may leave out."""
    if not isinstance(spec, Mapping):
        return spec
    path = spec.get("script_path")
    own = Path(path).stem if isinstance(path, str) and path else node
    return {"script_name": own, "step_name": node, **spec}


def _placed(node: str, spec: InferenceHandlerSpec) -> InferenceHandlerSpec:
    if "step_name" in spec.model_fields_set:
        return spec
    return spec.model_copy(update={"step_name": node})


def _check_node(dag: PipelineDAG, field: str, node: str, step_name: str) -> None:
    if node not in dag.nodes:
        raise PipelineError(f"{field}: the dag has no such node: {unknown_name(node, dag.nodes)}")
    if step_name != node:
        raise PipelineError(
            f"{field}.{node}: step_name is {step_name!r}; make it the node's name, or leave it out"
        )


# ---------------------------------------------------------------- paths in a file

_SCRIPT_PATHS = ("script_path", "input_paths", "output_paths")


def _resolved(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths of a file's fields relative to its folder."""
    names = {
        "script_specs": _SCRIPT_PATHS,
        "inference_handlers": spec_files.HANDLER_PATHS,
    }
    resolved = spec_files.resolved(
        {"test_workspace_root": ".", **fields}, ("test_workspace_root",), folder
    )
    for field, paths in names.items():
        nodes = fields.get(field)
        if isinstance(nodes, dict):
            resolved[field] = {
                node: spec_files.resolved(spec, paths, folder) if isinstance(spec, dict) else spec
                for node, spec in nodes.items()
            }
    return resolved
