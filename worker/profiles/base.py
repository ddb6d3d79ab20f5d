"""What every serving stack does: find the functions, call them, answer. A profile is a subclass.

A profile is made of the handler's module, once, when the stack would read its functions; what it
raises then is what the stack would raise.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..replies import Reply

from .. import signatures
from ..protocol import FUNCTIONS

STAGES = ("input_fn", "predict_fn", "output_fn")
TEXT_TYPES = ("application/json", "text/csv")
JSON = "application/json"


class Missing:
    """Stands for a function that the handler does not define."""

    def __bool__(self) -> bool:
        return False


MISSING = Missing()


class Profile:
    """How one stack treats one handler."""

    needs_module = False  # whether the stack fails where there is no module, or runs its defaults
    exports_code = False  # whether processes that the handler starts find its code, too

    def __init__(self, module: Any) -> None:
        self.own = {name: self.find(module, name) for name in FUNCTIONS}
        if self.own["transform_fn"] and any(self.own[name] for name in STAGES):
            raise self.conflict()

    # ------------------------------------------------------------ the functions

    def find(self, module: Any, name: str) -> Any:
        """Give the handler's function, or MISSING: a falsy value is no function."""
        return getattr(module, name, None) or MISSING

    def conflict(self) -> Exception:
        """Make what the stack raises for transform_fn beside one of those it stands for."""
        raise NotImplementedError

    def function(self, name: str) -> Any:
        """Give the function to call: the handler's own, else the stack's."""
        own = self.own[name]
        return getattr(self, "default_" + name) if own is MISSING else own

    # ------------------------------------------------------------ a request

    def body(self, data: bytes | bytearray, content_type: str | None) -> Any:
        """Give the body as input_fn gets it. Raises UnicodeDecodeError."""
        raise NotImplementedError

    def content_type(self, given: str | None) -> str | None:
        """Give the content type that input_fn gets, from the request's header."""
        return given

    def accept(self, given: str | None) -> str:
        """Give the accept type that output_fn gets, from the request's header."""
        raise NotImplementedError

    def context(
        self, model_dir: str, content_type: str | None, accept: str | None, body_bytes: int
    ) -> Any:
        """Make the context object of a request; None for a stack that has none."""
        return None

    # ------------------------------------------------------------ a call

    def call(self, name: str, arguments: list[Any], context: Any) -> Any:
        """Call one function as the stack does; model_fn with all that the stack does around it."""
        return self.invoke(self.function(name), arguments, context)

    def invoke(self, function: Any, arguments: list[Any], context: Any) -> Any:
        """Call by position, with the context where the stack's rule gives it."""
        return function(*arguments)

    # ------------------------------------------------------------ the answer

    def reply(self, value: Any, accept: str, context: Any) -> Reply:
        """Give what a client gets for what output_fn or transform_fn returned."""
        raise NotImplementedError

    def refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Give what a client gets when a function raised during a request."""
        raise NotImplementedError

    def load_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Give what a client gets when the handler could not be loaded."""
        raise NotImplementedError

    def import_refusal(self, error: BaseException, traceback: str, context: Any) -> Reply:
        """Give what a client gets when the handler's module could not be imported."""
        return self.load_refusal(error, traceback, context)


def count_parameters(function: Any) -> int:
    """Count parameters as the toolkits do: every kind counts one, also *args and defaults.

    They count at every call; a function's count is kept, for it takes as long as a call.
    """
    known = _counted.get(id(function))
    if known is None:
        known = (function, signatures.count(function))
        _counted[id(function)] = known
    return known[1]


_counted: dict[int, tuple[Any, int]] = {}  # with the function, so that its id stays its own
