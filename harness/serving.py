"""The serving stacks as the tester knows them: what a container sets up around the handler.

How a stack calls the functions and answers is in `worker/profiles/`; here is what is decided before
a worker starts and after it is gone. The rules are those of sagemaker-inference 1.10.1 and its
HuggingFace toolkit 2.6.0 on multi-model-server 1.1.11, sagemaker-pytorch-inference 2.0.25 on
TorchServe 0.12.0, and sagemaker-containers 2.8.6.post2 on gunicorn.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from harness.records import Outcome
from harness.results import FunctionTestResult
from harness.specs import InferenceHandlerSpec, Stack
from harness.summaries import ResponseSummary

MAX_REQUEST_BYTES: Final = 6_553_500
DEFAULT_MODULE: Final = "inference"
_KILLED: Final = 128 + signal.SIGKILL
_DIED: Final = (
    '{\n  "code": %d,\n  "type": "InternalServerException",\n  "message": "Worker died."\n}\n'
)
LoadFailure = Literal["model_fn", "import", "missing", "conflict", "exit", "import_exit", "hang"]

_MMS_RETRIES: Final = (
    "/ping stays 200, so the endpoint becomes InService; {again} again for each request, and each "
    "is answered {status}"
)
_MMS_EXITS: Final = (
    "the server's worker ends and is started again, for ever; /ping stays 200, and requests find "
    "no worker"
)
_FLASK: Final = (
    "/ping answers 500, so the endpoint never becomes InService; each /ping and each request "
    "tries {again} again"
)


@dataclass(frozen=True)
class Serving:
    """What one stack's container does around a handler.

    `code_at_root`: code is looked for in the model's root too, after code/. `single_directory`: a
    model directory that holds one directory and nothing else is replaced by that one.
    `in_model_dir`: the working directory is the model's. `server` is the prefix of the model
    server's own variables, None for gunicorn.
    """

    name: Stack
    title: str
    server: Literal["MMS", "TS"] | None
    variables: Mapping[str, str]
    consequences: Mapping[LoadFailure, str]
    code_at_root: bool = True
    single_directory: bool = False
    in_model_dir: bool = True

    def max_request_bytes(self, environ_vars: Mapping[str, str]) -> int | None:
        """Give the bytes that a request's body may have, with the spec's overrides; None: any."""
        if self.server is None:
            return None
        own = _number(environ_vars.get(f"{self.server}_MAX_REQUEST_SIZE"))
        mib = _number(environ_vars.get("SAGEMAKER_MAX_PAYLOAD_IN_MB"))
        if own is not None:
            return own
        if mib is not None and self.server == "MMS":
            return mib * 2**20
        return MAX_REQUEST_BYTES

    def too_large(self, size: int, limit: int) -> ResponseSummary:
        """Give the answer to a request whose body is over the limit; no function is called."""
        return ResponseSummary(
            status=413,
            body="",
            body_encoding="utf-8",
            reason=f"the body has {size} bytes, the server takes {limit}; "
            f"raise {self.server}_MAX_REQUEST_SIZE",
        )

    def without_an_answer(self, row: FunctionTestResult) -> ResponseSummary:
        """Give what a client sees of a call that ended its worker, or was ended by the tester."""
        why = f"{row.function_name} {row.outcome.value.replace('_', ' ')}"
        if row.function_name == "model_fn" or row.phase == "import":
            return _no_answer(f"{why}: the handler is never loaded, and no worker answers")
        if row.outcome not in _ENDS_THE_WORKER:
            return _no_answer(f"{why}: the tester ended it, which a container would not")
        if self.server is None:
            return _no_answer(f"{why}: the connection is reset")
        killed = row.signal is not None and row.signal.number == signal.SIGKILL
        killed |= row.exit_code == _KILLED and self.server == "TS"  # of which a signal is the same
        status = 507 if killed or row.outcome is Outcome.memory_exceeded else 500
        return ResponseSummary(
            status=status,
            content_type="application/json",
            body=_DIED % status,
            body_encoding="utf-8",
            reason=f"Worker died: {why}",
        )

    def consequence(self, failure: LoadFailure) -> str:
        """Say what the endpoint does when the handler cannot be loaded."""
        return f"on {self.title}: {self.consequences[failure]}"


def of(spec: InferenceHandlerSpec) -> Serving:
    """Give the serving stack of a spec."""
    return _STACKS[spec.stack]


def load_failure(
    row: FunctionTestResult, stack: Serving, *, defined: bool, imported: bool
) -> LoadFailure:
    """Say in which way a handler could not be loaded, from the row of its model_fn."""
    raised = row.failure.type if row.failure else None
    ends = ("SystemExit", "KeyboardInterrupt") if stack.server else ("SystemExit",)
    if raised in ends or row.outcome in (
        Outcome.exited,
        Outcome.crashed,
    ):
        return "import_exit" if row.phase == "import" else "exit"
    if row.failure is None:
        return "hang"
    if row.phase == "import":
        return "conflict" if "Cannot use transform_fn" in row.failure.message else "import"
    return "model_fn" if defined or imported else "missing"


def _no_answer(reason: str) -> ResponseSummary:
    return ResponseSummary(reason=reason)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None


_ENDS_THE_WORKER: Final = (
    Outcome.timed_out,
    Outcome.memory_exceeded,
    Outcome.crashed,
    Outcome.exited,
)
_OF_MMS: Final = {
    "OMP_NUM_THREADS": "1",
    "MMS_DECODE_INPUT_REQUEST": "false",
    "MXNET_USE_OPERATOR_TUNING": "0",
}
_TOOLKIT: Final = Serving(
    name="toolkit",
    title="multi-model-server",
    server="MMS",
    variables=_OF_MMS,
    consequences={
        "model_fn": _MMS_RETRIES.format(
            again="the worker swallows the exception and calls model_fn", status="500"
        ),
        "import": _MMS_RETRIES.format(again="the module is imported", status="500"),
        "missing": "the defaults run without a word, and each request is answered 500: "
        "Please provide a model_fn implementation.",
        "conflict": _MMS_RETRIES.format(again="the functions are read", status="500"),
        "exit": _MMS_EXITS,
        "import_exit": _MMS_EXITS,
        "hang": "/ping stays 200 while the worker loads; requests wait until the client gives up",
    },
)
_HUGGINGFACE: Final = Serving(
    name="huggingface",
    title="multi-model-server with the HuggingFace toolkit",
    server="MMS",
    variables=_OF_MMS,
    consequences={
        "model_fn": _MMS_RETRIES.format(
            again="the worker swallows the exception and calls model_fn", status="400"
        ),
        "import": _MMS_RETRIES.format(again="the module is imported", status="400"),
        "missing": "the defaults run without a word, and each request is answered 400 with a "
        "message about HF_TASK",
        "conflict": _MMS_RETRIES.format(again="the functions are read", status="400"),
        "exit": _MMS_EXITS,
        "import_exit": _MMS_EXITS,
        "hang": "/ping stays 200 while the worker loads; requests wait until the client gives up",
    },
)
_TS_RESTARTS: Final = (
    "the worker ends and is started again after 0, 1, 1, 2, 3, 5, 8, ... s; /ping stays 200 for "
    "300 s and then answers 500; requests wait until the client gives up"
)
_PYTORCH: Final = Serving(
    name="pytorch",
    title="TorchServe",
    server="TS",
    variables={},
    single_directory=True,
    consequences={
        "model_fn": _TS_RESTARTS,
        "import": _TS_RESTARTS,
        "missing": "the defaults run without a word; without exactly one .pt or .pth file "
        + _TS_RESTARTS,
        "conflict": _TS_RESTARTS,
        "exit": _TS_RESTARTS,
        "import_exit": _TS_RESTARTS,
        "hang": "the worker is ended after 120 s; " + _TS_RESTARTS,
    },
)
_EXITS: Final = "the container exits at its start, so the endpoint never becomes InService"
_OF_FLASK: Final[dict[LoadFailure, str]] = {
    "model_fn": _FLASK.format(again="model_fn"),
    "import": _EXITS,
    "missing": _EXITS,
    "conflict": _FLASK.format(again="to read the functions"),
    "import_exit": _EXITS,
    "exit": "each /ping resets the connection, so the endpoint never becomes InService",
    "hang": "each /ping times out after 2 s, and gunicorn ends the worker after 60 s; the endpoint "
    "never becomes InService",
}
_SKLEARN: Final = Serving(
    name="sklearn",
    title="gunicorn",
    server=None,
    variables={},
    consequences=_OF_FLASK,
    code_at_root=False,
    in_model_dir=False,
)
_XGBOOST: Final = Serving(
    name="xgboost",
    title="gunicorn",
    server=None,
    variables={},
    consequences=_OF_FLASK,
    code_at_root=False,
    in_model_dir=False,
)
_STACKS: Final = {
    stack.name: stack for stack in (_TOOLKIT, _PYTORCH, _HUGGINGFACE, _SKLEARN, _XGBOOST)
}
