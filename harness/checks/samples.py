"""The requests of a test: the spec's own samples and those found at its payload path, added up."""

from dataclasses import dataclass

from harness.artifacts import payloads
from harness.artifacts.workspace import RunDirectory
from harness.checks import schemas
from harness.errors import SpecError
from harness.records import not_asked
from harness.specs import InferenceHandlerSpec, InferenceTestSample


@dataclass(frozen=True)
class Samples:
    """What is to be sent, what is left out (with the reason) and what the user should know."""

    chosen: tuple[InferenceTestSample, ...]
    left_out: tuple[tuple[InferenceTestSample, str], ...]
    warnings: tuple[str, ...]


def collect(spec: InferenceHandlerSpec, run: RunDirectory) -> Samples:
    """Gather the samples of a spec. Raises PayloadError, and SpecError for two of one name.

    SpecError, too, for a schema that cannot be used.
    """
    found, warnings = _from_payloads(spec, run)
    every = [*spec.test_data_samples, *found]
    _refuse_duplicates(every)
    chosen, left_out = [], []
    for sample in every:
        if spec.content_types_chosen and sample.content_type not in spec.supported_content_types:
            reason = f"content type {sample.content_type} is not in supported_content_types"
            left_out.append((sample, not_asked(reason)))
            warnings.append(f"sample {sample.sample_name!r} is skipped: {reason}")
        else:
            chosen.append(sample)
    schemas.check(chosen)
    return Samples(tuple(chosen), tuple(left_out), tuple(warnings))


def _from_payloads(
    spec: InferenceHandlerSpec, run: RunDirectory
) -> tuple[list[InferenceTestSample], list[str]]:
    path = spec.data_paths.get("payload_samples", spec.payload_samples_path)
    if path is None:
        return [], []
    loaded = payloads.load(path, run)
    samples = [
        InferenceTestSample(
            sample_name=payload.sample_name,
            content_type=payload.content_type,
            request_body=payload.body,
            **payload.expected,
        )
        for payload in loaded.samples
    ]
    return samples, list(loaded.ignored)


def _refuse_duplicates(samples: list[InferenceTestSample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.sample_name in seen:
            raise SpecError(
                f"two samples are named {sample.sample_name!r}: one in test_data_samples, one "
                "among the payloads; rename one"
            )
        seen.add(sample.sample_name)
