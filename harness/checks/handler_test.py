"""One handler, tested whole: the street from a spec to its result."""

import time
from pathlib import Path
from typing import Any

from harness.artifacts.workspace import RunDirectory
from harness.checks import assembly, flow, strictness, variants
from harness.checks.diagnosis import diagnose
from harness.checks.diagnosis.case import Case
from harness.checks.diagnosis.package_faults import look, with_live
from harness.checks.kept import Kept
from harness.checks.ledger import Listener
from harness.checks.open_handler import opened
from harness.checks.samples import collect
from harness.environments.tool import Note
from harness.results import InferenceTestResult
from harness.specs import InferenceHandlerSpec


def run(
    spec: InferenceHandlerSpec,
    workspace: Path | None,
    on_row: Listener | None = None,
    on_note: Note = lambda text: None,
    kept: Kept | None = None,
) -> InferenceTestResult:
    """Test a handler: each function, and every sample with every accept type.

    Whatever the handler does is in the result; `on_row` is told of each call, `on_note`
    of what goes on before the first. Raises SpecError,
    PackageError or PayloadError for input that makes no sense, HandlerEnvironmentError when no
    worker can be started.
    """
    start = time.monotonic()
    with RunDirectory(workspace, sweeps=kept is None) as directory:
        samples = collect(spec, directory)
        with opened(spec, directory, on_row, on_note, kept) as live:
            seen = look(spec, live.package, live.site_packages)
            asked = variants.asked(spec, samples.chosen)
            further = [variant.request for variant in asked]
            called = flow.run(live, spec, samples.chosen, further)
            live.close()
            live.observe()
            result = assembly.assemble(
                spec, live, samples, called, asked, elapsed_s=time.monotonic() - start
            )
            seen = with_live(seen, live.definitions())
            case = Case(result, spec, seen, samples.chosen)
            judged = strictness.enforced(case) if spec.strict else result
            return judged.model_copy(update=_diagnosed(case))


def _diagnosed(case: Case) -> dict[str, Any]:
    """Give the diagnoses of a result; a fault of ours in one costs them, and not the result."""
    try:
        return {"diagnoses": diagnose(case)}
    except Exception as error:
        lost = f"an error of handlerproof: no diagnoses were made: {type(error).__name__}: {error}"
        return {"warnings": [*case.result.warnings, lost[:500]]}
