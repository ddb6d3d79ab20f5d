"""The messages between tester, supervisor and worker: their fields, version and limits.

docs/protocol.md is the authority. The tester imports this file as `worker.protocol` and sees real
frozen dataclasses, which pydantic validates strictly; a child loads it under a private name and
sees the same classes with a plain constructor, because importing `dataclasses` would cost a child
more than the rest of its start (docs/decisions/0102-messages.md has the figures).
"""

from __future__ import annotations

VERSION = 1

# Descriptors of the child. 0 and 1 are moved here before any code of the handler can run.
REQUESTS_FD = 200
REPLIES_FD = 201
STACKS_FD = 202
BODIES_FD = 203
RESPONSES_FD = 204
MARK_FD = 205  # these two the worker opens itself, in /proc
LIST_FD = 206
LOG_FD = 207  # the worker's own copy of its end of the log
FILES = (BODIES_FD, RESPONSES_FD, STACKS_FD)  # what a child is started with, in this order

# A worker whose channel was closed under it leaves with this code.
EXIT_CHANNEL_LOST = 213

# Upper bounds of what a child puts in a message; the tester bounds the whole line again.
MAX_MESSAGE_CHARS = 16_384
MAX_TRACEBACK_CHARS = 65_536
MAX_PREVIEW_CHARS = 2_048
MAX_NAME_CHARS = 512
MAX_FRAMES = 50
MAX_CAUSES = 10
MAX_COLUMNS = 200
MAX_KINDS = 20
MAX_DIMENSIONS = 32
MAX_PARAMETERS = 100
MAX_FUNCTIONS = 10
MAX_ATTEMPTS = 100
MAX_CURVE = 60
LINE_OVERHEAD_BYTES = 1_048_576

FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")

# Packages that are safe to fork when they were only imported (docs/decisions/0140-template.md).
SAFE_PACKAGES = tuple("joblib numpy pandas scipy sklearn threadpoolctl torch xgboost".split())  # noqa: SIM905
MAX_MODULES = 200

TYPE_CHECKING = False
if TYPE_CHECKING or __name__ == "worker.protocol":
    from dataclasses import dataclass, field, fields
    from typing import Annotated, ClassVar, Literal

    from pydantic import ConfigDict, Field

    Count = Annotated[int, Field(ge=0, lt=2**63)]
    Seconds = Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)]
    Curve = Annotated[list[Count], Field(max_length=MAX_CURVE)]
    Kinds = Annotated[list[str], Field(max_length=MAX_KINDS)]
    # One more, which stands for those that were not heard.
    Attempts = Annotated[list["Attempt"], Field(max_length=MAX_ATTEMPTS + 1)]
else:
    from .records import dataclass, field, fields

# A child's records have nothing of their own that is None.
_SPARSE = not (TYPE_CHECKING or __name__ == "worker.protocol")


class Strict:
    """What the tester holds every message to: exact types, no unknown field."""

    if TYPE_CHECKING or __name__ == "worker.protocol":
        __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="forbid")


# ---------------------------------------------------------------- parts of messages


@dataclass(frozen=True)
class Value(Strict):
    """A description of an object that stays in the worker.

    kinds: what it can be taken for (DataFrame, ndarray, tensor, sparse, dict, records, list, bytes,
    str), and the names of its class and of those it derives from.
    """

    type: str
    module: str
    shape: Annotated[list[Count], Field(max_length=MAX_DIMENSIONS)] | None = None
    dtype: str | None = None
    columns: Annotated[list[str], Field(max_length=MAX_COLUMNS)] | None = None
    features: Count | None = None
    length: Count | None = None
    size_bytes: Count | None = None
    preview: str | None = None
    kinds: Kinds | None = None


@dataclass(frozen=True)
class Frame(Strict):
    """One level of a traceback, oldest first."""

    file: str
    line: Count
    function: str
    code: str | None = None
    in_handler: bool = False


@dataclass(frozen=True)
class Cause(Strict):
    """One step of the chain behind an exception, nearest first; `bases` as in Failure."""

    relation: Literal["cause", "context"]
    type: str
    message: str
    bases: Kinds | None = None


@dataclass(frozen=True)
class Failure(Strict):
    """An exception, as text; `bases` are the names of the classes that its own derives from."""

    type: str
    module: str
    message: str
    traceback: str
    frames: Annotated[list[Frame], Field(max_length=MAX_FRAMES)] = field(default_factory=list)
    causes: Annotated[list[Cause], Field(max_length=MAX_CAUSES)] = field(default_factory=list)
    bases: Kinds | None = None


@dataclass(frozen=True)
class Response(Strict):
    """What the serving container would send for a returned value, or for an exception.

    worker_died: its worker ends over this, and the next request finds a fresh one. With
    stored_bytes, the body is in the file of responses, and body and body_encoding are null; the
    tester fills them in.
    """

    status: Count | None = None
    content_type: str | None = None
    body: str | None = None
    body_encoding: Literal["utf-8", "base64"] | None = None
    reason: str | None = None
    worker_died: bool = False
    stored_bytes: Count | None = None


@dataclass(frozen=True)
class Parameter(Strict):
    """One parameter of a function.

    kind: "positional", "rest" for *args, "keyword" for one that only its name gives, "keywords" for
    **kwargs.
    """

    name: str
    kind: Literal["positional", "rest", "keyword", "keywords"]
    required: bool = True
    annotation: str | None = None


@dataclass(frozen=True)
class Function(Strict):
    """One function of the loaded handler; its parameters where they can be had.

    style: "async" and "generator" functions return before they have done anything.
    """

    name: str
    defined: bool
    parameters: Annotated[list[Parameter], Field(max_length=MAX_PARAMETERS)] | None = None
    style: Literal["plain", "async", "generator"] = "plain"


@dataclass(frozen=True)
class Argument(Strict):
    """One positional parameter of a call.

    kind "json": `json` as it is. "kept": the value that call `id` returned. "bytes": `data` from
    base64. "body": `data` from base64, decoded as the serving stack decodes a request of this
    `content_type`. "content_type" and "accept": what the stack makes of this header. "pickle":
    `data` from base64, a cloudpickle. In place of `data`, `size` bytes from `at` on may lie in the
    file of bodies.
    """

    kind: Literal["json", "kept", "bytes", "body", "content_type", "accept", "pickle"]
    json: object = None
    id: str | None = None
    data: str | None = None
    content_type: str | None = None
    accept: str | None = None
    at: Count | None = None
    size: Count | None = None


@dataclass(frozen=True)
class Attempt(Strict):
    """Something the handler tried to reach, and how often from one line of its own.

    kind "connect" and "send" have a host and a port, "resolve" a host's name, "install" the command
    that would install packages. "other" is what the kernel refused to route and no Python code of
    the worker sent: a child process or native code did. seconds lie between the first and the last.
    """

    kind: Literal["connect", "send", "resolve", "install", "other"]
    target: str
    count: Count
    seconds: Seconds
    port: Count | None = None
    file: str | None = None
    line: Count | None = None


@dataclass(frozen=True)
class Fence(Strict):
    """What Landlock shall hold the worker to."""

    writable: list[str]
    deny_tcp: bool = True


# ---------------------------------------------------------------- tester -> worker


@dataclass(frozen=True)
class Load(Strict):
    """Import the handler. Answered by Loaded or Raised."""

    id: str
    module: str
    model_dir: str
    sys_path: list[str]
    handler_roots: list[str]
    stack: str = "toolkit"
    directory: str | None = None
    python_path: str | None = None
    cloudpickle_dir: str | None = None
    fence: Fence | None = None
    seccomp: str | None = None
    count_unrouted: bool = False
    max_response_bytes: Count = 134_217_728
    type: Literal["load"] = "load"


@dataclass(frozen=True)
class Call(Strict):
    """Call one function of the handler. Answered by Returned, Raised or Refused.

    follows: only if the reply to the request before says goes_on; else passed over, with no answer.
    leads: a call that follows is sent too, and carried out at once if this one passed quietly.
    forget: the ids of calls whose values are forgotten when this one was carried out.
    """

    id: str
    function: Literal["model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn"]
    arguments: list[Argument]
    content_type: str | None = None
    accept: str | None = None
    body_bytes: Count = 0
    follows: bool | None = None
    leads: bool | None = None
    forget: list[str] | None = None
    type: Literal["call"] = "call"


@dataclass(frozen=True)
class LoadScript(Strict):
    """Make ready to run a script: import it, or only look for it when it is run as a program.

    Answered by Loaded, Raised or Refused.
    """

    id: str
    path: str
    mode: Literal["main", "program"]
    directory: str
    python_path: str | None = None
    fence: Fence | None = None
    seccomp: str | None = None
    count_unrouted: bool = False
    type: Literal["load_script"] = "load_script"


@dataclass(frozen=True)
class RunScript(Strict):
    """Call main of the script that was loaded, or run it as a program with `argv`.

    Answered by Returned, Raised or Refused.
    """

    id: str
    input_paths: dict[str, str]
    output_paths: dict[str, str]
    environ_vars: dict[str, str]
    job_args: object = None
    argv: list[str] = field(default_factory=list)
    type: Literal["run_script"] = "run_script"


@dataclass(frozen=True)
class Release(Strict):
    """Forget the values that these calls returned. Not answered."""

    ids: list[str]
    type: Literal["release"] = "release"


# ---------------------------------------------------------------- worker -> tester


@dataclass(frozen=True)
class Ready(Strict):
    """The worker's first line."""

    protocol: Count
    python: str
    executable: str
    pid: Count
    type: Literal["ready"] = "ready"


@dataclass(frozen=True)
class Loaded(Strict):
    """The handler's module is imported."""

    id: str
    functions: Annotated[list[Function], Field(max_length=MAX_FUNCTIONS)]
    elapsed_s: Seconds
    file: str | None = None
    peak_memory_bytes: Count | None = None
    landlock: Count | None = None
    attempts: Attempts | None = None
    type: Literal["loaded"] = "loaded"


@dataclass(frozen=True)
class Returned(Strict):
    """The function returned; its value is kept under the call's id.

    goes_on: the worker goes on at once with the call that follows.
    """

    id: str
    value: Value
    elapsed_s: Seconds
    peak_memory_bytes: Count | None = None
    threads: Count | None = None
    descriptors: Count | None = None
    response: Response | None = None
    oversize_bytes: Count | None = None
    attempts: Attempts | None = None
    modules: Annotated[list[str], Field(max_length=MAX_MODULES)] | None = None
    goes_on: bool | None = None
    type: Literal["returned"] = "returned"


@dataclass(frozen=True)
class Raised(Strict):
    """The import or the function raised. After a fatal one the worker answers nothing more.

    exit_code: what a program that raises this SystemExit leaves with.
    """

    id: str
    failure: Failure
    elapsed_s: Seconds
    fatal: bool = False
    exit_code: Count | None = None
    peak_memory_bytes: Count | None = None
    response: Response | None = None
    attempts: Attempts | None = None
    type: Literal["raised"] = "raised"


@dataclass(frozen=True)
class Refused(Strict):
    """The request was not carried out: a parameter, or the fence of a Load, could not be had."""

    id: str
    reason: str
    type: Literal["refused"] = "refused"


# ---------------------------------------------------------------- tester -> supervisor


@dataclass(frozen=True)
class Start(Strict):
    """Start the worker: the first line to a supervisor. Answered by Started or NotStarted."""

    argv: list[str]
    environ: dict[str, str]
    directory: str
    memory_bytes: Count | None = None
    max_processes: Count | None = None
    max_file_bytes: Count | None = None
    cgroup_fds: list[Count] = field(default_factory=list)
    home_fds: list[Count] = field(default_factory=list)
    file_fds: list[Count] = field(default_factory=list)
    type: Literal["start"] = "start"


@dataclass(frozen=True)
class Kill(Strict):
    """End the whole tree now. Answered by Ended."""

    type: Literal["kill"] = "kill"


@dataclass(frozen=True)
class Dump(Strict):
    """Let the worker write where its threads are to the stack file of its Load. Not answered."""

    type: Literal["dump"] = "dump"


# ---------------------------------------------------------------- supervisor -> tester


@dataclass(frozen=True)
class Started(Strict):
    """The worker process exists. subreaper: whether orphans below it are adopted."""

    pid: Count
    subreaper: bool
    type: Literal["started"] = "started"


@dataclass(frozen=True)
class NotStarted(Strict):
    """The worker's interpreter could not be executed."""

    errno: Count
    type: Literal["not_started"] = "not_started"


@dataclass(frozen=True)
class Sample(Strict):
    """The memory of the whole tree, sent while it has more than one process."""

    memory_bytes: Count
    processes: Count
    type: Literal["sample"] = "sample"


@dataclass(frozen=True)
class Ended(Strict):
    """The whole tree is gone: the last line of a supervisor.

    reason: "exit" the worker ended by itself; "killed" on the tester's word; "orphaned" the tester
    is gone; "deadline" the tester let its own deadline pass; "memory" and "processes" a limit.
    Exactly one of exit_code and signal is set. max_rss_bytes is the worker's own high-water mark
    (wait4), memory_bytes the tree's as sampled (in a kill for memory: what was confirmed at the
    decision). curve is the resident memory of the tree over time, in bytes: the most in each
    curve_step_s, from the worker's start on. swept counts the processes that had to be killed
    beside the worker, left those that could not be.
    """

    reason: Literal["exit", "killed", "orphaned", "deadline", "memory", "processes"]
    exit_code: Count | None = None
    signal: Count | None = None
    max_rss_bytes: Count = 0
    memory_bytes: Count = 0
    processes: Count = 0
    swept: Count = 0
    left: Count = 0
    curve: Curve = field(default_factory=list)
    curve_step_s: Seconds = 0.0
    type: Literal["ended"] = "ended"


# ---------------------------------------------------------------- tester -> template


@dataclass(frozen=True)
class Preload(Strict):
    """Import these modules: the first line to a template. Answered by Warmed.

    "a.b" is a module; "a.b:name" a name of it, which may be a module too. directory is the parent
    of the template's HOME and TMPDIR, in which no import may leave a file. spawns: it imports
    nothing, and each supervisor that it forks starts its worker as a program of its own.
    """

    modules: list[str]
    directory: str
    spawns: bool = False
    type: Literal["preload"] = "preload"


@dataclass(frozen=True)
class Fork(Strict):
    """Fork a supervisor with the descriptors sent along. Answered by Forked or Declined."""

    type: Literal["fork"] = "fork"


@dataclass(frozen=True)
class Sweep(Strict):
    """End what a supervisor that was killed has left behind. Answered by Swept."""

    type: Literal["sweep"] = "sweep"


# ---------------------------------------------------------------- template -> tester


@dataclass(frozen=True)
class Warmed(Strict):
    """What was imported, could not be (left_out) and must not be (unsafe), each with the reason.

    A refusal, or anything unsafe, and the template is of no use. packages are the top-level names
    of all loaded modules, anonymous_bytes the memory that every fork begins with.
    """

    python: str
    imported: list[str]
    left_out: dict[str, str]
    unsafe: dict[str, str]
    packages: list[str]
    anonymous_bytes: Count
    refusal: str | None = None
    type: Literal["warmed"] = "warmed"


@dataclass(frozen=True)
class Forked(Strict):
    """The supervisor exists; its worker is not yet there."""

    pid: Count
    type: Literal["forked"] = "forked"


@dataclass(frozen=True)
class Declined(Strict):
    """It is not safe to fork."""

    reason: str
    type: Literal["declined"] = "declined"


@dataclass(frozen=True)
class Swept(Strict):
    """So many processes were ended."""

    processes: Count
    type: Literal["swept"] = "swept"


REQUESTS = (Load, Call, LoadScript, RunScript, Release)
ORDERS = (Start, Kill, Dump)
REPLIES = (Ready, Loaded, Returned, Raised, Refused)
REPORTS = (Started, NotStarted, Sample, Ended)
WARM_ORDERS = (Preload, Fork, Sweep)
WARM_REPORTS = (Warmed, Forked, Declined, Swept)


_SCALARS = frozenset((str, int, float, bool))


def plain(record: object) -> object:
    """Turn a message and its parts into what JSON can carry. Defaults of None are left out."""
    if isinstance(record, Strict):
        return {
            name: value if type(value) in _SCALARS else plain(value)
            for name, value in vars(record).items()
            if value is not None
        }
    if isinstance(record, list):
        return [plain(item) for item in record]
    return record


def parts(record: object) -> object:
    """Give a message's own fields, as plain does; for an encoder, which asks for each within."""
    if isinstance(record, Strict):
        own = vars(record)
        return own if _SPARSE else {key: own[key] for key in own if own[key] is not None}
    raise TypeError("cannot be sent: %s" % type(record).__name__)


def field_names(kind: type) -> list[str]:
    """Name the fields of a message class, in order."""
    return [item.name for item in fields(kind)]
