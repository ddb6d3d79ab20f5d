"""A tester of its own in a process of another user: specs in, results out, one JSON line each.

Started by tests/adversarial/nobody.py. An empty line asks for what this user's probes say.
"""

import dataclasses
import json
import sys

from harness import InferenceHandlerSpec, RuntimeTester
from harness.runtime import layers


def answer(line: str) -> str:
    """Carry out one request."""
    if not line:
        probes = {name: dataclasses.asdict(probe()) for name, probe in layers.PROBES.items()}
        return json.dumps(probes)
    spec = InferenceHandlerSpec.model_validate_json(line)
    return RuntimeTester().test_inference_handler(spec).model_dump_json()


for request in sys.stdin:
    sys.stdout.write(answer(request.strip()) + "\n")
    sys.stdout.flush()
