"""A whole pipeline, run once: each node in a worker of its own, after those that feed it.

Nodes that do not depend on each other run side by side. What a node gives is handed on to the next;
the nodes after one that did not pass are skipped.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts import outputs
from harness.artifacts.workspace import RunDirectory
from harness.errors import HandlerEnvironmentError, SpecError
from harness.pipeline_results import (
    DataCompatibilityResult,
    NodeInput,
    NodeTestResult,
    PipelineTestResult,
)
from harness.pipeline_specs import PipelineTestingSpec
from harness.pipelines import edges, matching_reports, nodes, preflight, responses, resume, wiring
from harness.pipelines.nodes import Done, Nothing, Setting
from harness.pipelines.resume import Kept
from harness.records import Outcome, not_asked
from harness.stop import Stop

NOT_SELECTED = not_asked("not selected")
Listener = Callable[[NodeTestResult], None]


def run(
    spec: PipelineTestingSpec,
    workspace: Path | None,
    *,
    semantic: bool,
    threshold: float,
    resume: bool = False,
    nodes: Collection[str] | None = None,
    on_node: Listener | None = None,
) -> PipelineTestResult:
    """Test a pipeline, or some of its nodes; `on_node` is told of each node as it ends.

    With `resume`, what passed is kept, and not run again while its code, spec and inputs are the
    same. A node that is not selected gives what was kept of it. Raises PipelineError for what can
    be seen to be wrong before anything runs, IsolationUnavailableError.
    """
    start = time.monotonic()
    wires = wiring.wire(spec, semantic=semantic, threshold=threshold)
    preflight.check(spec, wires, nodes)
    chosen = set(spec.dag.nodes if nodes is None else nodes)
    kept = Kept(Path(spec.test_workspace_root))
    setting = Setting(spec, wires, workspace)
    before = dict(_not_selected(setting, chosen, kept))
    with RunDirectory(workspace) as folder:
        flow = _Flow(setting, folder, kept if resume else None, on_node or (lambda row: None))
        done = flow.run(chosen, before)
        return _result(setting, done, time.monotonic() - start)


def _not_selected(setting: Setting, chosen: set[str], kept: Kept) -> Iterator[tuple[str, Done]]:
    """Give the nodes that are not to be run, with what was kept of those that feed others.

    Raises PipelineError when a selected node needs what is not there.
    """
    dag, problems = setting.spec.dag, []
    for node in dag.nodes:
        if node in chosen:
            continue
        row = nodes.not_run(setting, node, Outcome.skipped, NOT_SELECTED)
        takers = [taker for taker in dag.get_dependents(node) if taker in chosen]
        found = kept.find(node) if takers else None
        if found is None:
            problems += [item for taker in takers for item in _wanting(setting, node, taker)]
            yield node, Done(row)
        else:
            yield node, Done(row, places=found.places, typed=found.typed)
    preflight.refuse(problems)


def _wanting(setting: Setting, source: str, taker: str) -> Iterator[str]:
    for match in setting.wiring.matches(source, taker):
        path = setting.asked_path(taker, match.dest_logical_name)
        if path is None or not os.path.exists(path):
            yield (
                f"{taker} needs {match.source_logical_name!r} of {source}, which is not selected "
                f"and of which nothing is kept; select {source} too, or run all once with resume"
            )


@dataclass
class _Flow:
    """One run: what is to be done, in what order, and what came of it so far."""

    setting: Setting
    folder: RunDirectory
    kept: Kept | None
    on_node: Listener

    def run(self, chosen: set[str], done: dict[str, Done]) -> dict[str, Done]:
        """Run the chosen nodes, each as soon as those that feed it are done."""
        sorter = self.setting.spec.dag.sorter()
        sorter.prepare()
        workers = self.setting.spec.max_parallel or os.cpu_count() or 1
        running: dict[Future[Done], str] = {}
        with Stop() as stop:
            pool = ThreadPoolExecutor(workers, thread_name_prefix="pipeline")
            try:
                while sorter.is_active():
                    for node in sorter.get_ready():
                        if node in chosen:
                            running[pool.submit(self._heeding, stop, node, done)] = node
                        else:
                            sorter.done(node)
                    ended = wait(running, return_when=FIRST_COMPLETED).done if running else ()
                    for future in ended:
                        node = running.pop(future)
                        done[node] = future.result()
                        self.on_node(done[node].row)
                        sorter.done(node)
            except BaseException:  # Ctrl-C above all: the nodes that run are not waited for
                stop.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
        return done

    def _heeding(self, stop: Stop, node: str, done: dict[str, Done]) -> Done:
        """Run a node in a thread that ends when it is told to stop."""
        sources = self.setting.spec.dag.get_dependencies(node)
        with stop.heeded():
            return self._node(node, {source: done[source] for source in sources})

    # ------------------------------------------------------------ one node

    def _node(self, node: str, before: dict[str, Done]) -> Done:
        """Run a node, or say why not. Raises IsolationUnavailableError, and faults of ours."""
        stopped = next((source for source in before if _stops(before[source])), None)
        if stopped is not None:
            return self._skipped(node, before, _because(before[stopped].row))
        given = nodes.inputs(self.setting, node, before)
        if isinstance(given, Nothing):
            return self._starved(node, before, given)
        try:
            return self._run_or_reuse(node, given, before)
        except (SpecError, HandlerEnvironmentError) as error:
            row = nodes.refused(self.setting, node, error)
            return Done(row, tuple(self._untested(node, before, f"{node} could not be run")))

    def _run_or_reuse(self, node: str, given: list[NodeInput], before: dict[str, Done]) -> Done:
        if self.kept is None:
            return self._run(node, given, before)
        inputs = {item.input_name: item.path for item in given}
        sent = [
            str(place)
            for source, taker in self.setting.wiring.requests
            if taker == node and source in before
            for place in before[source].places.values()
        ]
        key = resume.key_of(self.setting, node, inputs, sent)
        found = self.kept.find(node, key)
        if found is not None:
            self._publish(node, found)
            return found
        done = self._run(node, given, before)
        if done.row.success:
            self.kept.keep(node, key, done)
        return done

    def _publish(self, node: str, done: Done) -> None:
        """Put the outputs of a reused node where its spec asks for them."""
        if self.setting.kind(node) == "script":
            for name, path in self.setting.spec.script_specs[node].output_paths.items():
                outputs.publish(done.places[name], Path(os.path.abspath(path)))

    def _run(self, node: str, given: list[NodeInput], before: dict[str, Done]) -> Done:
        folder = self.folder.make(node)
        if self.setting.kind(node) == "script":
            ran = nodes.run_script(self.setting, node, given, folder)
            rows = edges.into_script(self.setting, ran, self._carrying(node, before))
            row = nodes.as_asked(self.setting, ran.row, before)
            return Done(row, self._all_edges(node, before, rows), ran.places)
        tested = nodes.run_handler(self.setting, node, given, before)
        rows = edges.into_handler(self.setting, tested, self._carrying(node, before))
        row = nodes.as_asked(self.setting, tested.row, before)
        every = self._all_edges(node, before, rows)
        if row.handler is None or not row.success:
            return Done(row, every)
        return Done(row, every, *responses.write(row.handler, folder))

    # ------------------------------------------------------------ its edges

    def _carrying(self, node: str, before: dict[str, Done]) -> dict[str, Done]:
        """Give the nodes before a node that gave what goes over their edge."""
        carries = self.setting.wiring.carries
        return {
            source: done for source, done in before.items() if done.places and carries(source, node)
        }

    def _all_edges(
        self, node: str, before: dict[str, Done], rows: tuple[DataCompatibilityResult, ...]
    ) -> tuple[DataCompatibilityResult, ...]:
        tested = {row.script_a: row for row in rows}
        rest = self._untested(node, before, NOT_SELECTED)
        return tuple(tested.get(row.script_a, row) for row in rest)

    def _untested(
        self, node: str, before: dict[str, Done], why: str
    ) -> Iterator[DataCompatibilityResult]:
        for source in before:
            yield edges.not_tested(self.setting, source, node, why)

    def _skipped(self, node: str, before: dict[str, Done], why: str) -> Done:
        row = nodes.not_run(self.setting, node, Outcome.skipped, why)
        return Done(row, tuple(self._untested(node, before, why)))

    def _starved(self, node: str, before: dict[str, Done], nothing: Nothing) -> Done:
        """Skip a node to which an edge brings nothing, and blame the edge."""
        row = nodes.not_run(self.setting, node, Outcome.skipped, nothing.why)
        rows = [
            edges.empty(self.setting, item.script_a, node, nothing.why)
            if item.script_a == nothing.source
            else item
            for item in self._untested(node, before, nothing.why)
        ]
        return Done(row, tuple(rows))


def _stops(done: Done) -> bool:
    """Tell whether the nodes after this one cannot be run."""
    return not done.row.success and done.row.asked


def _because(row: NodeTestResult) -> str:
    """Name the node that is to blame: of a skipped one, what it was skipped for."""
    if row.outcome is Outcome.skipped:
        return row.skip_reason or ""
    return f"{row.node} {row.outcome.value.replace('_', ' ')}"


# ---------------------------------------------------------------- the whole


def _result(setting: Setting, done: dict[str, Done], elapsed_s: float) -> PipelineTestResult:
    rows = [done[node].row for node in setting.spec.dag.topological_sort()]
    found = {(row.script_a, row.script_b): row for item in done.values() for row in item.edges}
    every = [found.get(edge) or edges.unselected(*edge) for edge in setting.spec.dag.edges]
    errors = [*_node_errors(rows), *_edge_errors(every)]
    asked = [row for row in rows if row.asked]
    tested = [row for row in every if row.outcome is not Outcome.skipped]
    report = matching_reports.of_pipeline(setting.spec, setting.wiring)
    return PipelineTestResult(
        pipeline_success=bool(asked)
        and all(row.success for row in asked)
        and all(row.compatible for row in tested),
        total_execution_time=elapsed_s,
        node_results=rows,
        edge_results=every,
        errors=errors,
        warnings=[
            f"{row.node}: {text}"
            for row in rows
            for part in (row.script, row.handler)
            if part is not None
            for text in part.warnings
        ],
        recommendations=report["recommendations"],
    )


def _node_errors(rows: list[NodeTestResult]) -> Iterator[str]:
    for row in rows:
        if not row.success and row.outcome is not Outcome.skipped:
            what = "Script" if row.kind == "script" else "Handler"
            how = row.outcome.value.replace("_", " ")
            yield f"{what} {row.node} failed: {how}: {row.error_message}"


def _edge_errors(rows: list[DataCompatibilityResult]) -> Iterator[str]:
    for row in rows:
        if row.outcome is Outcome.failed:
            issue = row.compatibility_issues[0] if row.compatibility_issues else "refused"
            yield f"Incompatible data flow: {row.script_a} -> {row.script_b}: {issue}"
