"""What a node gave in an earlier run, kept so that it need not be run again while nothing changed.

Kept below the pipeline's test_workspace_root, in .handlerproof/<node>/. Only nodes that passed are.
"""

import ast
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.artifacts import outputs, syntax, workspace
from harness.errors import PipelineError
from harness.pipeline_results import DataCompatibilityResult, NodeTestResult
from harness.pipelines import preflight
from harness.pipelines.nodes import Done, Setting

FOLDER = ".handlerproof"
RECORD = "record.json"
FORMAT = 1
BLOCK_BYTES = 1 << 20
# What does not change what a node gives: notes, and paths, whose content counts instead.
UNTOLD = {
    "last_updated",
    "user_notes",
    "script_path",
    "input_paths",
    "output_paths",
    "packaged_model_path",
    "payload_samples_path",
    "handler_path",
    "model_dir",
    "sys_path",
    "model_paths",
    "code_paths",
    "data_paths",
}


class _Output(BaseModel):
    """One output as it was kept: where, and the hash of each file of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    place: str
    digest: str


class _Record(BaseModel):
    """One node as it was kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    row: NodeTestResult
    edges: tuple[DataCompatibilityResult, ...]
    outputs: tuple[_Output, ...]
    typed: dict[str, str]


class Kept:
    """The nodes that were kept for one pipeline."""

    def __init__(self, root: Path) -> None:
        self._folder = Path(os.path.realpath(root)) / FOLDER

    def find(self, node: str, key: str | None = None) -> Done | None:
        """Give a node as it was kept; with a key, only if it still is what would be run.

        What was changed by others, or cannot be read, is not there.
        """
        folder = self._folder / node
        try:
            record = _Record.model_validate_json((folder / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None
        if key is not None and record.key != key:
            return None
        places = {item.name: folder / item.place for item in record.outputs}
        if any(digest(places[item.name]) != item.digest for item in record.outputs):
            return None
        row = record.row.model_copy(update={"reused": True})
        typed = {folder / place: content_type for place, content_type in record.typed.items()}
        return Done(row, record.edges, places, typed)

    def keep(self, node: str, key: str, done: Done) -> None:
        """Keep a node that passed in place of what was kept before. Raises PipelineError."""
        fresh = self._folder / f".{node}-{secrets.token_hex(4)}"
        try:
            fresh.mkdir(parents=True)
            record = self._copied(key, done, fresh)
            (fresh / RECORD).write_text(record.model_dump_json(), encoding="utf-8")
            workspace.remove(self._folder / node)
            os.replace(fresh, self._folder / node)
        except OSError as error:
            shutil.rmtree(fresh, ignore_errors=True)
            raise PipelineError(
                f"{self._folder}: what {node} gave cannot be kept: {error.strerror}; "
                "correct test_workspace_root, or do without resume"
            ) from error

    def _copied(self, key: str, done: Done, fresh: Path) -> _Record:
        found, typed = [], {}
        for number, (name, place) in enumerate(done.places.items()):
            own = f"outputs/{number}/{place.name}"
            outputs.publish(place, fresh / own)
            if not place.is_file():
                (fresh / own).mkdir(parents=True, exist_ok=True)
            found.append(_Output(name=name, place=own, digest=digest(fresh / own)))
            for file, content_type in done.typed.items():
                if file.is_relative_to(place):
                    typed[f"{own}/{file.relative_to(place)}"] = content_type
        return _Record(key=key, row=done.row, edges=done.edges, outputs=tuple(found), typed=typed)


def key_of(setting: Setting, node: str, inputs: Mapping[str, str], sent: Iterable[str]) -> str:
    """Give the key of a node: it changes with its code, its spec and the content of its inputs.

    `sent` are the files that are sent to a handler as requests.
    """
    inference = setting.kind(node) == "inference"
    spec = setting.handler(node) if inference else setting.spec.script_specs[node]
    parts = {
        "format": FORMAT,
        "python": sys.version,
        "spec": json.loads(spec.model_dump_json(exclude=UNTOLD)),
        "max_rows": setting.spec.max_rows,
        "inputs": {name: digest(Path(path)) for name, path in sorted(inputs.items())},
        "sent": [digest(Path(path)) for path in sent],
        "outputs": _output_places(setting, node),
        "code": list(_code(setting, node)),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _output_places(setting: Setting, node: str) -> dict[str, str]:
    if setting.kind(node) == "inference":
        return {}
    paths = setting.spec.script_specs[node].output_paths
    return {name: os.path.abspath(path) for name, path in sorted(paths.items())}


def _code(setting: Setting, node: str) -> Iterator[str]:
    """Give the hashes of what a node runs: its script with the modules beside it, its handler."""
    if setting.kind(node) == "script":
        script = setting.spec.script_specs[node]
        file = preflight.script_file(script, setting.spec.test_workspace_root)
        yield from map(digest, sources(file.absolute()))
        return
    handler = setting.handler(node)
    overrides = (handler.model_paths, handler.code_paths, handler.data_paths)
    named = [path for paths in overrides for path in paths.values()]
    for path in (handler.handler_path, handler.model_dir, *handler.sys_path, *named):
        if path is not None:
            file = Path(path).absolute()
            yield from map(digest, sources(file) if file.suffix == ".py" else [file])


def sources(file: Path) -> list[Path]:
    """List a script and the modules beside it that it imports, directly or not."""
    found = {file}
    waiting = [file]
    while waiting:
        for path in _imported(waiting.pop(), file.parent):
            if path not in found:
                found.add(path)
                waiting.append(path)
    return sorted(found)


def _imported(file: Path, folder: Path) -> Iterator[Path]:
    try:
        tree = syntax.parsed(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
        for name in names:
            yield from _module(folder, name.partition(".")[0])


def _module(folder: Path, name: str) -> Iterator[Path]:
    """Give the file of a module, or every file of a package."""
    if (folder / f"{name}.py").is_file():
        yield folder / f"{name}.py"
    elif (folder / name).is_dir():
        yield from (folder / name).rglob("*.py")


def digest(path: Path) -> str:
    """Hash the content of a file, or the names and contents of all files in a directory."""
    whole, place = hashlib.sha256(), Path(os.path.realpath(path))
    for file in outputs.files(place):
        own = hashlib.sha256()
        with file.open("rb") as data:
            while block := data.read(BLOCK_BYTES):
                own.update(block)
        whole.update(f"{file.relative_to(place)}\0{own.hexdigest()}\n".encode(errors="replace"))
    return whole.hexdigest()
