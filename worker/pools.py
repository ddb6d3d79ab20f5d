"""The thread pools of native libraries: narrowed to one thread in a template, widened in a worker.

A template must have one thread when it forks, and OpenMP or BLAS threads that ran before a fork
hang after it. So the template sets VARIABLES to 1 before it imports; a worker then gives each
library that is loaded the number of threads that a fresh start would have given it, from the
handler's own variables or the processors it may use.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")

# A part of the library's file name, the function that sets its threads, and the variables that a
# fresh start reads for it, in that order.
LIBRARIES = (
    (
        "openblas",
        (
            "scipy_openblas_set_num_threads64_",
            "scipy_openblas_set_num_threads",
            "openblas_set_num_threads64_",
            "openblas_set_num_threads",
        ),
        ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS"),
    ),
    ("mkl_rt", ("MKL_Set_Num_Threads",), ("MKL_NUM_THREADS", "OMP_NUM_THREADS")),
    ("libgomp", ("omp_set_num_threads",), ("OMP_NUM_THREADS",)),
    ("libomp", ("omp_set_num_threads",), ("OMP_NUM_THREADS",)),
    ("libiomp", ("omp_set_num_threads",), ("OMP_NUM_THREADS",)),
)
LOADED_ONLY = 4 | 2  # RTLD_NOLOAD, RTLD_NOW

_setters: list[tuple[int, tuple[str, ...]]] = []


def find() -> None:
    """Find the libraries that this process has loaded, and their setters (in the template)."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.split(None, 5)[5].rstrip("\n") for line in maps if "/" in line}
    for path in sorted(paths):
        name = path.rpartition("/")[2]
        for part, functions, variables in LIBRARIES:
            if part in name:
                address = _address(path, functions)
                if address:
                    _setters.append((address, variables))


def widen() -> None:
    """Give every library that was found the threads that a fresh start would have given it."""
    if _setters:
        import _ctypes

        processors = len(os.sched_getaffinity(0))
        for address, variables in _setters:
            count = _count(variables)
            if "GOTO_NUM_THREADS" in variables:
                count = min(count, processors)  # OpenBLAS takes no more, when it is loaded
            _ctypes.call_function(address, (count,))
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(_count(("OMP_NUM_THREADS", "MKL_NUM_THREADS")))


def _address(path: str, functions: tuple[str, ...]) -> int:
    try:
        import _ctypes

        library = _ctypes.dlopen(path, LOADED_ONLY)
    except (ImportError, OSError):
        return 0
    for function in functions:
        try:
            return int(_ctypes.dlsym(library, function))
        except OSError:
            continue
    return 0


def _count(variables: tuple[str, ...]) -> int:
    for name in variables:
        number = os.environ.get(name, "").partition(",")[0].strip()
        if number.isdigit() and int(number) > 0:
            return int(number)
    return len(os.sched_getaffinity(0))
