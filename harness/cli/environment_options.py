"""The options of `handlerproof run` that say what environment a handler gets."""

from typing import Any

from harness.errors import SpecError


def environment(options: dict[str, Any], given: object) -> object:
    """Make the field of the spec that the options ask for; None: leave the one that is given."""
    source, python = options["env_from"], options["python"]
    flags = {name: True for name in ("offline", "allow_install") if options[name]}
    if source is None:
        return _without_source(python, flags, given)
    kind, _, path = source.partition(":")
    if kind == "requirements":
        asked = {"requirements": path or "auto", **flags}
        return {**asked, "python": python} if python is not None else asked
    if python is not None:
        raise SpecError(f"--env-from {source} has a Python of its own; leave --python out")
    if kind == "venv" and path:
        return {"venv": path, **_only("allow_install", flags, source)}
    if source == "inherit":
        _only(None, flags, source)
        return "inherit"
    raise SpecError(
        f"--env-from {source}: write requirements, requirements:FILE, venv:PATH or inherit"
    )


def _without_source(python: str | None, flags: dict[str, bool], given: object) -> object:
    """Change the environment of a spec's file, where these options have a meaning for it."""
    if python is None and not flags:
        return None
    if isinstance(given, dict) and "requirements" in given:
        return {**given, **flags, **({"python": python} if python is not None else {})}
    if isinstance(given, dict) and "venv" in given and python is None:
        return {**given, **_only("allow_install", flags, "venv")}
    _only(None, flags, "inherit")
    return {"python": python}


def _only(allowed: str | None, flags: dict[str, bool], source: str) -> dict[str, bool]:
    for name in flags:
        if name != allowed:
            option = "--" + name.replace("_", "-")
            raise SpecError(f"{option} goes with --env-from requirements, not with {source}")
    return flags
