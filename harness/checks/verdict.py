"""From what happened in a worker to an outcome: the only place where a verdict is made.

The evidence comes from `harness.runtime.session`. When two things apply, how the worker ended wins
over what was in progress, and a limit that was passed wins over the deadline.
"""

import base64
import contextlib
import errno
import signal
from typing import Any

import worker.protocol as protocol
from harness.records import Outcome
from harness.results import FunctionTestResult, Phase
from harness.runtime.evidence import Answer, Ending
from harness.specs import Limits
from harness.summaries import (
    CauseSummary,
    FailureSummary,
    FrameSummary,
    NetworkAttempt,
    ResponseSummary,
    SignalSummary,
    ValueSummary,
)

MIB = 1024 * 1024
BY_CAUSE = {
    "timeout": Outcome.timed_out,
    "memory": Outcome.memory_exceeded,
    "processes": Outcome.processes_exceeded,
    "log": Outcome.output_exceeded,
    "reply": Outcome.output_exceeded,
    "protocol": Outcome.protocol_violated,
    "supervisor": Outcome.crashed,
}
NO_SPACE = (errno.EFBIG, errno.ENOSPC)
# The end of str(CalledProcessError): of a child that wrote beyond RLIMIT_FSIZE, and of a shell's.
CHILD_TOO_LARGE = f"died with <Signals.SIGXFSZ: {int(signal.SIGXFSZ)}>."
SHELL_TOO_LARGE = f"returned non-zero exit status {128 + signal.SIGXFSZ}."


def judge(answer: Answer, limits: Limits, *, phase: Phase, function: str) -> dict[str, Any]:
    """Give the fields of a FunctionTestResult that follow from the answer alone."""
    fields: dict[str, Any] = {
        "phase": phase,
        "execution_time": _seconds(answer),
        "peak_memory_bytes": answer.peak_memory_bytes,
        "peak_memory_source": answer.peak_memory_source,
        "log": answer.log,
    }
    if answer.ending is not None:
        return fields | _judge_ending(answer, answer.ending, limits, function)
    reply = answer.reply
    fields["network_attempts"] = attempts_of(reply)
    if isinstance(reply, protocol.Raised):
        return fields | _judge_raised(reply, limits, phase)
    if isinstance(reply, protocol.Refused):
        return fields | {"outcome": Outcome.failed, "error_message": reply.reason}
    if isinstance(reply, protocol.Returned):
        return fields | _judge_returned(reply, limits)
    return fields | {"outcome": Outcome.passed}


def is_pass(answer: Answer) -> bool:
    """Say whether `judge` finds that the call passed."""
    reply = answer.reply
    if answer.ending is not None or not isinstance(reply, protocol.Returned):
        return False
    return reply.oversize_bytes is None and (reply.response is None or _is_sent(reply.response))


def outcome_of(ending: Ending) -> Outcome:
    """Give the outcome for a worker that ended before it answered."""
    if ending.cause in BY_CAUSE:
        return BY_CAUSE[ending.cause]
    if ending.signal == signal.SIGXFSZ:
        return Outcome.disk_exceeded
    return Outcome.exited if ending.signal is None else Outcome.crashed


def response_of(reply: object) -> ResponseSummary | None:
    """Give the response that the container makes of a value or an exception, if there is one."""
    response = getattr(reply, "response", None)
    if response is None:
        return None
    fields: dict[str, Any] = protocol.plain(response)  # type: ignore[assignment]
    del fields["worker_died"]
    in_line = fields.pop("stored_bytes", None) is None
    if in_line and fields.get("body_encoding") == "base64":
        # Text that JSON would have made much longer crosses as base64, too.
        with contextlib.suppress(ValueError):
            text = base64.b64decode(fields["body"], validate=True).decode("utf-8")
            fields.update(body=text, body_encoding="utf-8")
    return ResponseSummary(**fields)


def is_deadly(reply: object) -> bool:
    """Say whether the container's worker would have ended over this answer."""
    response = getattr(reply, "response", None)
    return response is not None and response.worker_died


def late(row: FunctionTestResult, ending: Ending) -> FunctionTestResult:
    """Amend a row whose call had answered, when its worker then broke the protocol or died."""
    outcome = outcome_of(ending)
    return row.model_copy(
        update={
            "outcome": outcome,
            "error_message": f"{row.function_name} answered, and then: {ending.detail}"
            + how(ending),
            "exit_code": None if ending.signal is not None else ending.exit_code,
            "signal": signal_of(ending),
        }
    )


def attempts_of(reply: object) -> list[NetworkAttempt]:
    """List what a call tried to reach."""
    found = getattr(reply, "attempts", None) or []
    return [NetworkAttempt(**protocol.plain(attempt)) for attempt in found]  # type: ignore[arg-type]


def skipped(function: str, reason: str, **fields: Any) -> FunctionTestResult:
    """Give the row of a function that was not called."""
    return FunctionTestResult(
        function_name=function,  # type: ignore[arg-type]
        outcome=Outcome.skipped,
        execution_time=0.0,
        skip_reason=reason,
        **fields,
    )


def signal_of(ending: Ending) -> SignalSummary | None:
    """Name the signal that ended a worker."""
    if ending.signal is None:
        return None
    try:
        name = signal.Signals(ending.signal).name
    except ValueError:
        name = f"signal {ending.signal}"
    return SignalSummary(number=ending.signal, name=name)


def _seconds(answer: Answer) -> float:
    """Take the worker's own measure, which a forged reply cannot make longer than ours."""
    measured = getattr(answer.reply, "elapsed_s", None)
    return answer.elapsed_s if measured is None else min(measured, answer.elapsed_s)


def _judge_ending(answer: Answer, ending: Ending, limits: Limits, function: str) -> dict[str, Any]:
    ours = ending.cause in ("timeout", "memory", "processes", "log", "reply", "protocol")
    return {
        "outcome": outcome_of(ending),
        "stack": ending.stack,
        "error_message": _explain(answer, ending, limits, function),
        # After a kill of ours the wait status says nothing of the handler.
        "exit_code": None if ours else ending.exit_code,
        "signal": None if ours else signal_of(ending),
    }


def _explain(answer: Answer, ending: Ending, limits: Limits, function: str) -> str:
    if ending.cause == "timeout":
        return (
            f"{function} timed out after {answer.elapsed_s:.1f} s; its process tree was ended. "
            "Make it faster, or raise the timeout"
        )
    if ending.cause == "memory":
        used = (ending.peak_memory_bytes or 0) / MIB
        return (
            f"worker killed at {used:.0f} MiB (limit {limits.memory_limit_mb:g} MiB) "
            f"during {function}"
        )
    if ending.cause == "processes":
        return (
            f"worker killed during {function}: it had {ending.detail} (limit "
            f"{limits.max_processes})"
        )
    if ending.cause in ("log", "reply"):
        return f"worker killed during {function}: {ending.detail}"
    if ending.cause == "protocol":
        return f"{function} disturbed the channel to the tester: {ending.detail}"
    return f"{ending.detail} during {function}{how(ending)}"


def how(ending: Ending) -> str:
    """Say in brackets how a worker ended: its signal or its exit code."""
    found = signal_of(ending)
    if found is not None:
        return f" ({found.name}, signal {found.number})"
    return f" (exit code {ending.exit_code})" if ending.exit_code is not None else ""


def _judge_raised(reply: protocol.Raised, limits: Limits, phase: Phase) -> dict[str, Any]:
    failure = reply.failure
    outcome = Outcome.not_started if phase == "import" else Outcome.raised
    if _wants_space(failure, limits):
        outcome = Outcome.disk_exceeded
    return {
        "outcome": outcome,
        "error_message": f"{failure.type}: {failure.message}" if failure.message else failure.type,
        "failure": summarize(failure),
    }


def _wants_space(failure: protocol.Failure, limits: Limits) -> bool:
    """Say whether an exception tells of a full disk, or of a file that passed the limit of one.

    A child that is not Python dies of SIGXFSZ, which no handler has to look at; that its
    CalledProcessError names this signal is the evidence. A shell tells its child's signal as an
    exit status, which is one only where there is a limit.
    """
    if failure.type == "OSError":
        return any(f"[Errno {number}]" in failure.message for number in NO_SPACE)
    if failure.type != "CalledProcessError" or failure.module != "subprocess":
        return False
    by_shell = limits.max_file_bytes is not None and failure.message.endswith(SHELL_TOO_LARGE)
    return by_shell or failure.message.endswith(CHILD_TOO_LARGE)


def summarize(failure: protocol.Failure) -> FailureSummary:
    """Turn an exception as it came over the wire into its record."""
    return FailureSummary(
        type=failure.type,
        module=failure.module,
        message=failure.message,
        traceback=failure.traceback,
        frames=[
            FrameSummary(
                file=frame.file,
                line=frame.line,
                function=frame.function,
                code=frame.code,
                in_handler=frame.in_handler,
            )
            for frame in failure.frames
        ],
        causes=[
            CauseSummary(
                relation=cause.relation,
                type=cause.type,
                message=cause.message,
                bases=cause.bases or [],
            )
            for cause in failure.causes
        ],
        bases=failure.bases or [],
    )


def _judge_returned(reply: protocol.Returned, limits: Limits) -> dict[str, Any]:
    value = ValueSummary(**protocol.plain(reply.value))  # type: ignore[arg-type]
    fields: dict[str, Any] = {"output_data": value, "output_type": value.type}
    if reply.oversize_bytes is not None:
        return fields | {
            "outcome": Outcome.output_exceeded,
            "error_message": f"a response of {reply.oversize_bytes} bytes ("
            + (
                f"limit {limits.max_response_bytes}"
                if reply.response is None
                else f"{reply.response.reason}"
            )
            + ")",
        }
    response = reply.response
    if response is not None and not _is_sent(response):
        return fields | {
            "outcome": Outcome.failed,
            "error_message": f"the returned {value.type} could not be sent: "
            + (f"the container answers {response.status}: " if response.status else "")
            + f"{response.reason}",
        }
    return fields | {"outcome": Outcome.passed}


def _is_sent(response: protocol.Response) -> bool:
    return response.status is not None and 200 <= response.status < 300
