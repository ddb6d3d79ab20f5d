"""What the user asks of one handler; what came out is in results.py.

A spec is judged without touching the disk; only `validate_configuration` looks. Paths stay text,
as given: artifacts/ resolves them.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from harness.errors import SpecError
from harness.spec_environment import Environment, missing_files
from harness.spec_fields import (
    MAX_MIB,
    Body,
    ByteCount,
    FrozenMediaTypes,
    JsonData,
    MediaTypes,
    Mib,
    ModuleName,
    PathText,
    Pattern,
    ProcessCount,
    Seconds,
    Share,
    Success,
    Switch,
    Text,
    Tolerance,
    Variables,
)
from harness.spec_model import SpecModel, unknown_name

Stack = Literal["toolkit", "pytorch", "huggingface", "sklearn", "xgboost"]
Isolation = Literal["auto", "process", "bwrap", "max"]
Network = Literal[False, True, "loopback"]
Stage = Literal["input_fn", "predict_fn", "output_fn", "transform_fn"]
Start = Literal["auto", "fresh", "warm"]
Suspicion = Literal["constant_predictions", "scored_header"]

_MEMORY: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(?:([KMGT])(?:I?B)?)?", re.I)
_MIB_OF_UNIT: Final = {"K": 2**-10, "M": 1, "G": 2**10, "T": 2**20}

_OVERRIDES: Final = {
    "model_paths": ["extraction_root"],
    "code_paths": ["inference_code_dir", "handler_file"],
    "data_paths": ["payload_samples"],
}
_VALIDATE_FLAGS: Final = (
    "validate_model_loading",
    "validate_input_processing",
    "validate_prediction",
    "validate_output_formatting",
    "validate_end_to_end",
)
# That these were set means something by itself, so a dump has them only when they were.
_MEANINGFUL_WHEN_SET: Final = ("supported_content_types", "stack")


def need_spec(given: object, what: str = "a handler to test") -> None:
    """Refuse what is no spec of a handler. Raises: SpecError."""
    if not isinstance(given, InferenceHandlerSpec):
        how = "(**fields)" if isinstance(given, dict) else "(handler_name=..., ...)"
        raise SpecError(
            f"{what} is an InferenceHandlerSpec, not a {type(given).__name__}; "
            f"make one with InferenceHandlerSpec{how}"
        )


def need_specs(given: object) -> None:
    """Refuse what is no list of specs of handlers. Raises: SpecError."""
    if isinstance(given, InferenceHandlerSpec):
        raise SpecError("a batch is a list of specs, not one; put it into a list: [spec]")
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise SpecError(f"a batch is a list of InferenceHandlerSpec, not a {type(given).__name__}")
    for number, spec in enumerate(given, start=1):
        need_spec(spec, f"handler {number} of a batch")


def parse_memory(text: str) -> int:
    """Read an amount of memory as MiB, rounded up: "512M", "1.5G", "2GiB"; no unit means MiB.

    Raises: SpecError for anything else, and for zero.
    """
    match = _MEMORY.fullmatch(text.strip())
    if match is None:
        raise SpecError(f"{text!r} is not an amount of memory; write for example 512M or 2G.")
    mib = math.ceil(float(match[1]) * _MIB_OF_UNIT[(match[2] or "M").upper()])
    if not 0 < mib <= MAX_MIB:
        raise SpecError(f"{text!r} is out of range; ask for at least 1M and less than 8 EiB.")
    return mib


class Limits(SpecModel):
    """How much time, memory, processes and output one handler may use."""

    timeout_seconds: Seconds | None = Field(
        default=None,
        description="Seconds that each call may take; None: the spec's timeout_seconds",
    )
    startup_timeout_seconds: Seconds | None = Field(
        default=None,
        description="Seconds for the interpreter and the handler's import; "
        "None: the spec's timeout_seconds",
    )
    memory_limit_mb: Mib | None = Field(
        default=None, description="MiB that the whole process tree may hold; None: no limit"
    )
    max_processes: ProcessCount = Field(
        default=512, description="Processes that may exist at one time"
    )
    max_output_bytes: ByteCount = Field(
        default=10 * 2**20, description="Bytes that the handler may print before it is stopped"
    )
    max_response_bytes: ByteCount = Field(
        default=128 * 2**20, description="Bytes of one response body that are taken back"
    )
    max_file_bytes: ByteCount | None = Field(
        default=None, description="Bytes that one written file may have; None: no limit"
    )

    def filled(self, timeout_seconds: float) -> Limits:
        """Replace the timeouts that are None by the given seconds. Raises: SpecError."""
        unset = ("timeout_seconds", "startup_timeout_seconds")
        missing = {name: timeout_seconds for name in unset if getattr(self, name) is None}
        return self.model_copy(update=missing)


class FieldTolerance(SpecModel):
    """How far the numbers of one field of a response may be from those that are expected."""

    absolute: Tolerance = Field(default=0.0, description="Difference that is allowed in any case")
    relative: Tolerance = Field(
        default=0.0, description="Difference that is allowed, as a share of the larger number"
    )


class InferenceTestSample(SpecModel):
    """One request, and what is expected of the handler for it."""

    sample_name: Text = Field(description="Name of the sample, unique within its spec")
    content_type: Text | None = Field(
        description="Content-Type of the request; None: the request has no such header"
    )
    request_body: Body = Field(
        description="Body, sent byte for byte (text as UTF-8); "
        'bytes are {"base64": "..."} in a JSON file'
    )
    should_succeed: Success = Field(
        default=True,
        description='False: the sample passes only when a stage refuses it; "either": an answer '
        "and a refusal both do, a hang or a crash does not",
    )
    expected_stages: tuple[Stage, ...] | None = Field(
        default=None, description="Stages of which one is to refuse the sample; None: any may"
    )
    error_message_pattern: Pattern | None = Field(
        default=None,
        description="Regular expression to be found, whatever the case, "
        'in "ErrorType: message" of the stage that refuses',
    )
    expected_output_structure: JsonData = Field(
        default=None,
        description="What the parsed response must contain: keys of objects, [x] for elements "
        "that are all x, a type name or null for any value; null by itself: nothing is expected",
    )
    response_schema: dict[str, JsonData] | None = Field(
        default=None, description="JSON Schema that the parsed response must fulfil"
    )
    accept_types: FrozenMediaTypes | None = Field(
        default=None,
        description="Accept headers to ask for; a None among them: no such header; "
        "None: the spec's supported_accept_types",
    )
    expected_body: JsonData = Field(
        default=None,
        description="Response expected in full: parsed JSON, or the text of another format; "
        "None: not compared",
    )
    tolerance: Tolerance = Field(
        default=1e-6,
        description="How far numbers may be from expected_body, absolutely or relatively",
    )
    tolerances: dict[Text, FieldTolerance] = Field(
        default={},
        description="Tolerances of single fields of expected_body, in place of `tolerance`; a "
        'field is named by its keys from the top, as in "predictions.score", without positions '
        "in lists",
    )
    same_row_count: Switch = Field(
        default=False,
        description="Whether the response must have as many rows as the request: lines of CSV "
        "(without a header) and JSON Lines, records of JSON, the first axis of npy",
    )
    deterministic: Switch = Field(
        default=False, description="Whether the same request, sent twice, must be answered alike"
    )
    max_seconds: Seconds | None = Field(
        default=None,
        description="Seconds that the request's functions may take together; one that takes longer "
        "is repeated, and fails when it always does; None: only the timeout counts",
    )
    max_memory_mb: Mib | None = Field(
        default=None,
        description="MiB that the process tree may hold during the request; None: only the limit "
        "counts",
    )

    @property
    def expects_an_answer(self) -> bool:
        """Whether anything is expected of the response beyond its being a success."""
        expected = (self.expected_output_structure, self.response_schema, self.expected_body)
        limits = (self.max_seconds, self.max_memory_mb)
        return (
            any(value is not None for value in (*expected, *limits))
            or self.same_row_count
            or self.deterministic
        )


class InferenceHandlerSpec(SpecModel):
    """One handler to be tested: its code and model, its samples, and how to run it.

    The code comes from exactly one of `packaged_model_path` and `handler_path`; the samples from
    `payload_samples_path` and `test_data_samples`, added up.
    """

    handler_name: Text = Field(description="Name of the handler in results and reports")
    step_name: Text = Field(
        default_factory=lambda data: data.get("handler_name", ""),
        description="Name of the handler's node in a PipelineDAG; by default handler_name",
    )
    packaged_model_path: PathText | None = Field(
        default=None,
        description="Path of a model.tar.gz, or of a directory laid out like one",
    )
    handler_path: PathText | None = Field(
        default=None, description="Path of the handler's Python file, instead of a package"
    )
    model_dir: PathText | None = Field(
        default=None,
        description="Directory with the model files, beside handler_path; model_fn gets a copy; "
        "None: an empty directory",
    )
    payload_samples_path: PathText | None = Field(
        default=None, description="Path of payload samples: a directory, a file or payload.tar.gz"
    )
    test_data_samples: tuple[InferenceTestSample, ...] = Field(
        default=(), description="Samples written in the spec itself"
    )
    entry_point: Text | None = Field(
        default=None,
        description="Name of the handler's file or module in its code directory; "
        "None: SAGEMAKER_PROGRAM in environ_vars, else inference",
    )
    stack: Stack = Field(
        default="toolkit",
        description="Serving stack whose rules the handler is held to; its image, by framework",
    )

    model_paths: dict[str, PathText] = Field(
        default_factory=dict, description="Overrides for the model; key: extraction_root"
    )
    code_paths: dict[str, PathText] = Field(
        default_factory=dict,
        description="Overrides for the code; keys: inference_code_dir, handler_file",
    )
    data_paths: dict[str, PathText] = Field(
        default_factory=dict, description="Overrides for the samples; key: payload_samples"
    )

    supported_content_types: MediaTypes = Field(
        default=["application/json", "text/csv"],
        description="Content types to test; left at default, every sample runs under its own type; "
        "set, samples of other types are skipped",
    )
    supported_accept_types: MediaTypes = Field(
        default=["application/json", "text/csv"],
        description="Accept headers to ask for, for each sample; a None: no such header",
    )

    environ_vars: Variables = Field(
        default_factory=dict, description="Environment variables of the handler"
    )
    timeout_seconds: Seconds = Field(
        default=300, description="Seconds that each call may take, unless limits say otherwise"
    )
    limits: Limits = Field(
        default=Limits(), description="Bounds on time, memory, processes and output"
    )
    isolation: Isolation = Field(
        default="auto",
        description="process: a supervised process tree; auto: and every layer found here, the "
        "rest named in the result; bwrap: and a bubblewrap sandbox; max: every layer there is; "
        "bwrap and max are refused when they cannot be had whole",
    )
    network: Network = Field(
        default=False,
        description="False: denied by the strongest layer in force; True: allowed; loopback: a "
        "loopback of its own and nothing else, which needs bwrap",
    )
    model_dir_writable: Switch = Field(
        default=True, description="Whether the handler may write in its private model directory"
    )
    environment: Environment = Field(
        default="inherit",
        description="Interpreter and packages of the handler: inherit for the tester's own, "
        '{"python": version or path}, {"venv": path}, or {"requirements": "auto", path or list}',
    )
    start: Start = Field(
        default="auto",
        description="fresh: each worker is started anew; warm: forked from a process that has "
        "imported what the handler imports; auto: warm where more than one worker is started",
    )
    preload: tuple[ModuleName, ...] = Field(
        default=(),
        description="Modules that a warm worker finds imported, beside those that the handler "
        "imports and that are known to be safe",
    )
    sys_path: tuple[PathText, ...] = Field(
        default=(), description="Further directories to import from, after the package's own"
    )

    validate_model_loading: Switch = Field(default=True, description="Test model_fn")
    validate_input_processing: Switch = Field(default=True, description="Test input_fn")
    validate_prediction: Switch = Field(default=True, description="Test predict_fn")
    validate_output_formatting: Switch = Field(default=True, description="Test output_fn")
    validate_end_to_end: Switch = Field(default=True, description="Test the complete pipeline")

    negotiate: Switch = Field(
        default=False,
        description="Ask for each sample under further content types and accept types",
    )
    strict: Switch = Field(
        default=False,
        description="Fail requests whose answer is an error in truth: an error body or an empty "
        "one with status 200, another type than was asked for, NaN in JSON",
    )
    suspect: tuple[Suspicion, ...] = Field(
        default=(),
        description="What to look for in answers that may be right after all: "
        "constant_predictions (one answer to different requests), scored_header (a header of CSV "
        "counted as a row)",
    )
    probe: Switch = Field(
        default=False,
        description="Send each sample changed: one row, two rows, a charset",
    )

    @classmethod
    def create_default(
        cls,
        handler_name: str,
        step_name: str,
        packaged_model_path: str | Path,
        payload_samples_path: str | Path,
    ) -> Self:
        """Ask for a packaged model and a place of payload samples; the rest is default.

        Raises: SpecError.
        """
        return cls.model_validate(
            {
                "handler_name": handler_name,
                "step_name": step_name,
                "packaged_model_path": packaged_model_path,
                "payload_samples_path": payload_samples_path,
            }
        )

    @property
    def effective_limits(self) -> Limits:
        """The limits, with the timeouts that are None taken from `timeout_seconds`."""
        return self.limits.filled(self.timeout_seconds)

    @property
    def content_types_chosen(self) -> bool:
        """Whether supported_content_types was set, so that samples of other types are skipped."""
        return "supported_content_types" in self.model_fields_set

    @property
    def stack_chosen(self) -> bool:
        """Whether a stack was named, so that a package without a handler runs its defaults."""
        return "stack" in self.model_fields_set

    def validate_configuration(self) -> list[str]:
        """List what would go wrong or be of no effect, with a look at the disk; empty: nothing."""
        return [*_missing_paths(self), *_nothing_to_test(self), *_without_effect(self)]

    def is_valid(self) -> bool:
        """Tell whether `validate_configuration` finds nothing."""
        return not self.validate_configuration()

    @field_validator(*_OVERRIDES)
    @classmethod
    def _know_overrides(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        known = _OVERRIDES[str(info.field_name)]
        for key in value:
            homes = [name for name, keys in _OVERRIDES.items() if key in keys]
            if key not in known:
                raise ValueError(
                    f"{key!r} belongs in {homes[0]}" if homes else unknown_name(key, known)
                )
        return value

    @field_validator("test_data_samples")
    @classmethod
    def _name_samples_apart(
        cls, value: tuple[InferenceTestSample, ...]
    ) -> tuple[InferenceTestSample, ...]:
        counts = Counter(sample.sample_name for sample in value)
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"more than one sample is named {twice[0]!r}; give each its own name")
        return value

    @model_validator(mode="after")
    def _have_one_source_of_code(self) -> Self:
        if self.packaged_model_path is None and self.handler_path is None:
            raise ValueError("has no code to test; set packaged_model_path or handler_path")
        if self.packaged_model_path is not None and self.handler_path is not None:
            raise ValueError("has two sources of code; keep packaged_model_path or handler_path")
        if self.packaged_model_path is not None and self.model_dir is not None:
            raise ValueError(
                "model_dir goes with handler_path; a package brings its own model files, "
                "and model_paths['extraction_root'] says where others are"
            )
        return self

    @model_serializer(mode="wrap")
    def _keep_what_was_chosen(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        chosen: dict[str, Any] = dump(self)
        for name in _MEANINGFUL_WHEN_SET:
            if name not in self.model_fields_set:
                chosen.pop(name, None)
        return chosen


class RuntimeTestingConfiguration(SpecModel):
    """How a RuntimeTester works, whatever it tests."""

    workspace_dir: PathText | None = Field(
        default=None,
        description="Directory below which run directories are made and removed again; "
        "None: the system's directory for temporary files",
    )
    enable_inference_testing: Switch = Field(
        default=True, description="Whether inference handlers may be tested"
    )
    enable_logical_matching: Switch = Field(
        default=True, description="Whether outputs and inputs of scripts are matched by meaning"
    )
    semantic_threshold: Share = Field(
        default=0.7, description="From 0 to 1: how alike two logical names must be to match"
    )


# ---------------------------------------------------------------- what validate_configuration finds


def _missing_paths(spec: InferenceHandlerSpec) -> Iterator[str]:
    yield from _missing("packaged_model_path", spec.packaged_model_path)
    yield from _missing("handler_path", spec.handler_path, Path.is_file, "file")
    yield from _missing("model_dir", spec.model_dir, Path.is_dir, "directory")
    yield from _missing("payload_samples_path", spec.payload_samples_path)
    for entry in spec.sys_path:
        yield from _missing("sys_path", entry)
    for field, keys in _OVERRIDES.items():
        for key in keys:
            path = getattr(spec, field).get(key)
            if path is not None and os.path.isabs(path):  # a relative one may be in the package
                yield from _missing(f"{field}[{key!r}]", path)
    yield from missing_files(spec.environment)


def _missing(
    field: str,
    path: str | None,
    is_there: Callable[[Path], bool] = Path.exists,
    kind: str = "file or directory",
) -> Iterator[str]:
    if path is not None and not is_there(Path(path)):
        yield f"{field}: there is no {kind} at {path}"


def _nothing_to_test(spec: InferenceHandlerSpec) -> Iterator[str]:
    places = (spec.payload_samples_path, spec.data_paths.get("payload_samples"))
    if not spec.test_data_samples and not any(places):
        yield "no samples; set payload_samples_path or test_data_samples"
    for place in filter(None, places):
        if Path(place).is_dir() and not any(path.is_file() for path in Path(place).rglob("*")):
            yield f"no samples; the directory {place} has no file"
    if not spec.supported_content_types:
        yield "supported_content_types is empty; every sample would be skipped"
    if not spec.supported_accept_types:
        yield "supported_accept_types is empty; name at least one, or None for no Accept header"
    if not any(getattr(spec, flag) for flag in _VALIDATE_FLAGS):
        yield "every validate flag is off; leave at least one on"


def _without_effect(spec: InferenceHandlerSpec) -> Iterator[str]:
    for sample in spec.test_data_samples:
        name = f"sample {sample.sample_name!r}"
        if sample.should_succeed is True and sample.error_message_pattern is not None:
            yield f"{name}: error_message_pattern is of no effect unless should_succeed is false"
        if sample.should_succeed is False and sample.expects_an_answer:
            yield f"{name}: an expected answer is of no effect when should_succeed is false"
        if sample.accept_types == ():
            yield f"{name}: accept_types is empty; leave it out to use the spec's"
        if spec.content_types_chosen and sample.content_type not in spec.supported_content_types:
            yield (
                f"{name}: would be skipped, {sample.content_type!r} is not "
                "in supported_content_types"
            )
