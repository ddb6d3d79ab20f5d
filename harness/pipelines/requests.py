"""What a node gives as the body of a request: files to send, and a handler to try them on."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import formats, outputs
from harness.artifacts.workspace import RunDirectory
from harness.checks import arguments, calls
from harness.checks.calls import Planned
from harness.checks.live import LiveHandler
from harness.checks.open_handler import opened
from harness.pipeline_results import DataSent, PassedOver
from harness.pipelines.adapters import CONTENT_TYPES, Attempt
from harness.pipelines.cutting import Cut, cut
from harness.pipelines.tables import Parcel
from harness.specs import InferenceHandlerSpec

MAX_CANDIDATES = 20
# What a handler is most likely to be sent comes first.
RANK = ("csv", "jsonl", "json", "parquet", "npy", "libsvm", "tsv")


@dataclass(frozen=True)
class Candidate:
    """A file that may be sent: its bytes as they are sent, and its own content type."""

    output_name: str
    path: Path
    name: str
    format: str
    media_type: str
    cut: Cut

    def parcel(self, content_type: str) -> Parcel:
        """Give it to be sent under a content type."""
        return Parcel(self.cut.body, self.format, self.path.name, content_type)

    def sent(self, content_type: str) -> DataSent:
        """Record that it was sent."""
        return DataSent(
            output_name=self.output_name,
            file=self.name,
            format=self.format,
            content_type=content_type,
            size_bytes=len(self.cut.body),
            rows=self.cut.rows,
            rows_cut=self.cut.rows_cut,
        )


@dataclass(frozen=True)
class Found:
    """The files that can be sent, the best first, and those that cannot, with the reason."""

    candidates: tuple[Candidate, ...]
    passed_over: tuple[PassedOver, ...]


def find(
    places: Sequence[tuple[str, Path]], max_rows: int, typed: Mapping[Path, str] | None = None
) -> Found:
    """Look through outputs, the best first, for files that can be the body of a request.

    `typed` are files whose content type is known, such as a handler's responses.
    """
    chosen: list[Candidate] = []
    passed_over: list[PassedOver] = []
    for name, place in places:
        found = [_judge(name, place, file, max_rows, typed or {}) for file in outputs.files(place)]
        if not found:
            passed_over.append(PassedOver(candidate=name, reason="nothing was written to it"))
        passed_over += [item for item in found if isinstance(item, PassedOver)]
        chosen += sorted((item for item in found if isinstance(item, Candidate)), key=_rank)
    for left in chosen[MAX_CANDIDATES:]:
        reason = f"only the first {MAX_CANDIDATES} are tried"
        passed_over.append(PassedOver(candidate=left.name, reason=reason))
    return Found(tuple(chosen[:MAX_CANDIDATES]), tuple(passed_over))


def _rank(candidate: Candidate) -> int:
    return RANK.index(candidate.format) if candidate.format in RANK else len(RANK)


def _judge(
    output: str, place: Path, file: Path, max_rows: int, typed: Mapping[Path, str]
) -> Candidate | PassedOver:
    shown = file.name if file == place else f"{output}/{file.relative_to(place)}"
    found = formats.detect(file)
    media_type = typed.get(file) or formats.media_type(file, found)
    if file.name.startswith("."):
        return PassedOver(candidate=shown, reason="it is hidden")
    if file.stat().st_size == 0:
        return PassedOver(candidate=shown, reason="it is empty")
    if media_type is None:
        return PassedOver(candidate=shown, reason=f"{found} is no format of a request's body")
    taken = cut(file, found, max_rows)
    if taken is None:
        return PassedOver(candidate=shown, reason="it is too large to be sent")
    return Candidate(output, file, shown, found, media_type, taken)


# ---------------------------------------------------------------- content types


def content_types(handler: InferenceHandlerSpec, own: str) -> list[str]:
    """List what a file may be sent under: its own type where that is allowed, then the others."""
    asked = [name for name in handler.supported_content_types if name is not None]
    allowed = own in asked or not handler.content_types_chosen
    others = [name for name in asked if name != own]
    return [own, *others] if allowed else others


def types_for_adapters(handler: InferenceHandlerSpec) -> tuple[str, ...]:
    """List the content types that an adapter may send under."""
    asked = [name for name in handler.supported_content_types if name is not None]
    return tuple(dict.fromkeys(asked if handler.content_types_chosen else (*asked, *CONTENT_TYPES)))


# ---------------------------------------------------------------- trying


@contextmanager
def trials(handler: InferenceHandlerSpec, workspace: Path | None) -> Iterator[Attempt]:
    """Open a handler to try parcels on: its input_fn and its predict_fn, with the model loaded.

    Raises SpecError and its kinds when there is no handler to open.
    """
    with RunDirectory(workspace) as run, opened(handler, run) as live:
        yield _Trials(live).attempt


class _Trials:
    def __init__(self, live: LiveHandler) -> None:
        self._live = live
        self._model = ""

    def attempt(self, parcel: Parcel) -> str | None:
        """Say why a parcel is refused; None when it passes."""
        live = self._live
        if not live.running:
            self._model = live.call(calls.model(live.package.model_dir))
            if not live.row(self._model).success:
                return self._said(self._model)
        ((*_, last),) = live.requests([self._planned(parcel)])
        live.settle()
        return None if live.row(last).success else self._said(last)

    def _planned(self, parcel: Parcel) -> list[Planned]:
        """Plan what takes a request: transform_fn, or input_fn and, if it took it, predict_fn."""
        model = arguments.kept_argument(self._model)
        if self._live.transforms:
            return [calls.transform(model, parcel.body, parcel.content_type, None)]
        taken = calls.input_of(parcel.body, parcel.content_type)
        data = arguments.kept_argument(taken.name)
        return [taken, calls.predict(data, model, calls.NO_REQUEST)]

    def _said(self, call: str) -> str:
        row = self._live.row(call)
        return f"{row.function_name}: {row.error_message or row.skip_reason}"
