"""PipelineTestingSpecBuilder: the spec of a pipeline from its graph, and specs kept in files."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.dag import PipelineDAG
from harness.errors import PipelineError
from harness.pipeline_specs import PipelineTestingSpec
from harness.pipelines import matching, names, preflight
from harness.script_spec import DEFAULT_ROOT, ScriptExecutionSpec, saved_specs, step_of


class PipelineTestingSpecBuilder:
    """Make the script specs of a pipeline's nodes from a directory of test data.

    Scripts lie in `scripts/`, saved specs in `.specs/`, a node's input in `<node>/input`. Nothing
    is made before something is saved; handlers' specs are the user's to write.
    """

    def __init__(self, test_data_dir: str | Path = DEFAULT_ROOT) -> None:
        """Take the directory; it need not be there yet."""
        self.test_data_dir = Path(test_data_dir)
        self.specs_dir = self.test_data_dir / ".specs"
        self.scripts_dir = self.test_data_dir / "scripts"

    def build_from_dag(self, dag: PipelineDAG, validate: bool = True) -> PipelineTestingSpec:
        """Make the spec of a pipeline: each node's saved spec, else one made from its name.

        A node that is a registration, a serving or an inference by its name, and has no script, is
        left without a spec: a handler is to stand there. With `validate`, every other node must
        have a script with a main. Raises: PipelineError.
        """
        scripts = {}
        for node in dag.nodes:
            spec = self.resolve_script_execution_spec_from_node(node)
            if spec.script_path is not None or not names.is_of_a_handler(node):
                scripts[node] = spec
        if validate:
            self._check(scripts.values())
        return PipelineTestingSpec(
            dag=PipelineDAG(dag.nodes, dag.edges),
            script_specs=scripts,
            test_workspace_root=str(self.test_data_dir),
        )

    def resolve_script_execution_spec_from_node(self, node_name: str) -> ScriptExecutionSpec:
        """Give the saved spec of a node, else one made from its name.

        "TabularPreprocessing_training" is run by scripts/tabular_preprocessing_training.py where
        there is one, else by scripts/tabular_preprocessing.py, with the job type training. Where
        neither is, script_path stays None. Raises: PipelineError.
        """
        if node_name in self.list_saved_specs():
            return ScriptExecutionSpec.load_from_file(node_name, self.specs_dir)
        step, job_type = names.canonical(node_name)
        files = [self.scripts_dir / f"{name}.py" for name in names.script_names(node_name)]
        file = next((file for file in files if file.is_file()), None)
        made = ScriptExecutionSpec.create_default(
            file.stem if file else names.snake_case(step) or node_name,
            node_name,
            self.test_data_dir,
        )
        known: dict[str, Any] = {"script_path": str(file)} if file else {}
        if job_type is not None:
            known["job_args"] = {"job_type": job_type}
        return made.model_copy(update=known)

    def get_script_main_params(self, spec: ScriptExecutionSpec) -> dict[str, Any]:
        """Give the four arguments of a script's main, job_args as a Namespace."""
        return spec.main_params

    # ------------------------------------------------------------ saved specs

    def save_script_spec(self, spec: ScriptExecutionSpec) -> str:
        """Save a spec under the name of its step; give the file's path. Raises: OSError."""
        self.specs_dir.mkdir(parents=True, exist_ok=True)
        return spec.save_to_file(self.specs_dir)

    def update_script_spec(self, node_name: str, **updates: Any) -> ScriptExecutionSpec:
        """Change fields of a node's spec, saved or made from its name, and save it.

        Raises: PipelineError for fields that make no sense.
        """
        spec = self.resolve_script_execution_spec_from_node(node_name).model_copy(update=updates)
        self.save_script_spec(spec)
        return ScriptExecutionSpec.load_from_file(spec.step_name, self.specs_dir)

    def list_saved_specs(self) -> list[str]:
        """List the steps that have a saved spec, by name."""
        return [step_of(file) for file in saved_specs(self.specs_dir)]

    def get_script_spec_by_name(self, script_name: str) -> ScriptExecutionSpec | None:
        """Give the spec saved for a step, else the only one of a script; None: there is none.

        Raises: PipelineError when a script has more than one, or a file is not a spec.
        """
        steps = self.list_saved_specs()
        if script_name in steps:
            return ScriptExecutionSpec.load_from_file(script_name, self.specs_dir)
        specs = [ScriptExecutionSpec.load_from_file(step, self.specs_dir) for step in steps]
        if all(spec.script_name != script_name for spec in specs):
            return None
        return ScriptExecutionSpec.load_from_file(script_name, self.specs_dir)

    def match_step_to_spec(self, step_name: str, available_specs: Iterable[str]) -> str | None:
        """Give the name that fits a step best: itself, its script's, else the most alike."""
        available = list(available_specs)
        for name in (step_name, *names.script_names(step_name)):
            for spec in available:
                if spec == name or names.snake_case(spec) == name:
                    return spec
        scored = [(matching.similarity(step_name, spec), spec) for spec in available]
        score, best = max(scored, default=(0.0, ""), key=lambda pair: pair[0])
        return best if score >= matching.THRESHOLD else None

    def _check(self, specs: Iterable[ScriptExecutionSpec]) -> None:
        problems = []
        for spec in specs:
            try:
                preflight.check_main(spec, preflight.script_file(spec, self.test_data_dir))
            except PipelineError as error:
                problems.append(f"{error}{self._nearest(spec)}")
        preflight.refuse(problems)

    def _nearest(self, spec: ScriptExecutionSpec) -> str:
        """Name the file that may have been meant, where a script is not found."""
        if spec.script_path is not None:
            return ""
        there = [file.stem for file in self.scripts_dir.glob("*.py")]
        close = difflib.get_close_matches(spec.script_name, there, n=1)
        return f" (did you mean {close[0]}.py?)" if close else ""
