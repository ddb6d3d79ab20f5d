"""What can be said before a handler runs, from its files: packages that are missing, models that
were made elsewhere. Nothing of the handler is run, and nothing of it is imported or unpickled.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.artifacts.package import Package
from harness.environments import base_sets, distributions, imports, requirements
from harness.environments.imports import Import
from harness.environments.interpreters import Interpreter
from harness.environments.requirements import Requirements
from harness.spec_environment import RequirementsEnvironment, VenvEnvironment
from harness.specs import InferenceHandlerSpec

MAX_MODEL_FILES = 200
MAX_PICKLE_BYTES = 256 << 20
# A pickle of scikit-learn has its version under this key, as text of protocol 2 or 4; memo codes
# may stand between (sklearn/base.py, BaseEstimator.__getstate__).
_SKLEARN = re.compile(
    rb"_sklearn_version(?:\x94|q.|r.{4})?(?:\x8c.|X.{4})(\d+\.\d+[0-9a-z.]{0,20})", re.DOTALL
)


def warnings(
    spec: InferenceHandlerSpec, package: Package, interpreter: Interpreter, base: Sequence[str]
) -> list[str]:
    """Give what the handler's files let expect, one sentence each; no fault of them stops a run.

    `base` are the distributions of the container. Raises HandlerEnvironmentError for requirements
    that cannot be read.
    """
    return [
        *_nothing_asked(spec, package, base),
        *_imports(spec, package, interpreter, base),
        *_drift(package, interpreter),
        *_installing(spec),
    ]


def _nothing_asked(
    spec: InferenceHandlerSpec, package: Package, base: Sequence[str]
) -> Iterator[str]:
    """Tell of an environment that was asked for, and of which the package says nothing."""
    environment = spec.environment
    if not isinstance(environment, RequirementsEnvironment) or environment.requirements != "auto":
        return
    if not spec.stack_chosen and not (package.code_dir / "requirements.txt").is_file():
        yield (
            "there is no code/requirements.txt in the package: its environment has "
            f"{' and '.join(base) or 'no packages'}; add the file, name one "
            "(requirements:FILE), or name the stack whose packages it counts on"
        )


def _imports(
    spec: InferenceHandlerSpec, package: Package, interpreter: Interpreter, base: Sequence[str]
) -> Iterator[str]:
    if package.handler_file is None:
        return
    asked = _asked(spec, package, base)
    told: set[str] = set()
    for item in imports.of_handler(package.handler_file, package.sys_path):
        if item.module in told or distributions.is_built_in(item.module):
            continue
        text = _about(item, package, asked, interpreter)
        if text is not None:
            told.add(item.module)
            yield text


def _asked(
    spec: InferenceHandlerSpec, package: Package, base: Sequence[str]
) -> Requirements | None:
    """Give the requirements that the imports are held against; None: the package has none."""
    environment = spec.environment
    if isinstance(environment, RequirementsEnvironment) and environment.requirements != "auto":
        return None  # what the environment holds is looked at instead
    asked = requirements.of_package(package.code_dir, base)
    return asked if asked.file is not None or asked.names else None


def _about(
    item: Import, package: Package, asked: Requirements | None, interpreter: Interpreter
) -> str | None:
    place = f"{_shown(item.file, package)}:{item.line}"
    there = distributions.installed(item.module, interpreter.site_packages)
    if distributions.AWS_ONLY.fullmatch(item.module):
        if there or item.guarded:
            return None
        return (
            f"{place} imports {item.module}, which exists only inside AWS's containers: here it "
            f"fails {_when(item)}; put a stand-in on sys_path, or guard the import"
        )
    if item.guarded:
        return None
    built = interpreter.kind == "requirements"
    if built:
        if there:
            return None
        where = "the environment built of the requirements does not have it"
    elif asked is None or asked.file is None or _gives(asked, item.module):
        return None
    else:
        where = f"{asked.shown} does not list it"
    name = distributions.name_of(item.module)
    hint = f" ({name})" if name != requirements.normal(item.module) else ""
    return f"{place} imports {item.module}{hint}{_if(item)}, and {where}"


def _gives(asked: Requirements, module: str) -> bool:
    return distributions.listed(module, {*asked.names, *base_sets.BASE_SETS["toolkit"]})


def _when(item: Import) -> str:
    return "when that line runs" if item.conditional else "at import"


def _if(item: Import) -> str:
    return " under a condition" if item.conditional else ""


def _shown(file: Path, package: Package) -> str:
    for root in (package.model_dir, package.code_dir):
        if file.is_relative_to(root):
            return str(file.relative_to(root))
    return file.name


def _drift(package: Package, interpreter: Interpreter) -> Iterator[str]:
    """Compare the scikit-learn that pickled the model with the one that will load it."""
    pickled = [(file, _sklearn_version(file)) for file in _model_files(package.model_dir)]
    made_with = [(file, made) for file, made in pickled if made is not None]
    if not made_with:
        return
    here = distributions.version("scikit-learn", interpreter.site_packages)
    for file, made in made_with:
        if here is not None and made.split(".")[:2] != here.split(".")[:2]:
            yield (
                f"{file.relative_to(package.model_dir)} was made with scikit-learn {made} and is "
                f"loaded with {here}: it may fail or predict otherwise; install {made}"
            )


def _model_files(model_dir: Path) -> list[Path]:
    found: list[Path] = []
    for folder, names, files in os.walk(model_dir):
        names[:] = sorted(name for name in names if name not in ("code", "__pycache__"))
        found += (Path(folder, name) for name in sorted(files))
        if len(found) > MAX_MODEL_FILES:
            break
    return [path for path in found[:MAX_MODEL_FILES] if not path.is_symlink() and path.is_file()]


def _sklearn_version(file: Path) -> str | None:
    with file.open("rb") as content:
        if not os.fstat(content.fileno()).st_size:
            return None
        with mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as data:
            end = min(len(data), MAX_PICKLE_BYTES)
            match = _SKLEARN.search(data, 0, end) if data[:1] == b"\x80" else None
            return match[1].decode() if match else None


def _installing(spec: InferenceHandlerSpec) -> Iterator[str]:
    environment = spec.environment
    if not isinstance(environment, RequirementsEnvironment | VenvEnvironment):
        return
    if environment.allow_install and spec.network is not True:
        yield (
            "allow_install gives the handler an environment to install into, but the network is "
            "denied: set network=True, or name a directory of wheels in PIP_FIND_LINKS"
        )
