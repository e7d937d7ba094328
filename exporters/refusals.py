"""Why torch would not export a module, in one sentence that names the operator and its place."""

from __future__ import annotations

import re
from typing import Any

from edgepress.errors import SourceError, UnsupportedOpError

_MISSING = re.compile(r"No ONNX function found for <OpOverload\(op='([^']+)', overload='([^']*)'\)>")
_NODE = re.compile(r"Error when translating node %(\w+)")
_CODE = re.compile(r'File "([^"]+)", line (\d+), in (\w+)\s*\n\s*(\S[^\n]*)')
_MEND = (
    "replace it in the module by operators that ONNX has, or compute it before or after the model"
    " (torch.onnx.ops lists what ONNX has)"
)


def explain(error: BaseException) -> SourceError:
    """The error of ours that says what torch's exporter meant."""
    chain = list(_chain(error))
    for item in chain:
        found = _MISSING.search(str(item))
        if found:
            op = found.group(1).replace(".", "::")
            return UnsupportedOpError(op, _where(chain), _MEND)
    for item in reversed(chain):
        if "GuardOnDataDependent" in type(item).__name__ or "data-dependent" in str(item)[:400]:
            return SourceError(
                f"the model's path depends on its values at {_code(chain)}; torch cannot trace that:"
                " compute both"
                " branches and choose with torch.where"
            )
    if len(chain) > 1 and _NODE.search(str(chain[-2])):
        return UnsupportedOpError(_target(chain) or "unknown", _where(chain), _MEND)
    return SourceError(f"torch cannot export the module: {_sentence(chain[-1])}")


def _chain(error: BaseException | None) -> Any:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _failing_node(chain: list[BaseException]) -> Any:
    """The node of torch's graph that could not be translated, looked up in the frames of the error."""
    name = next((found.group(1) for item in chain if (found := _NODE.search(str(item)))), None)
    for item in chain:
        trace = item.__traceback__
        while trace is not None:
            node = trace.tb_frame.f_locals.get("node")
            if (
                node is not None
                and hasattr(node, "meta")
                and (name is None or getattr(node, "name", "") == name)
            ):
                return node
            trace = trace.tb_next
    return None


def _where(chain: list[BaseException]) -> str:
    node = _failing_node(chain)
    stack = list(getattr(node, "meta", {}).get("nn_module_stack", {}).values()) if node is not None else []
    if not stack:
        return "the module"
    path, kind = stack[-1][0], stack[-1][1]
    kind_name = str(kind).rsplit(".", 1)[-1].strip("'>")
    # torch writes paths such as L['self'].features.1 where it traced through its own front end.
    path = re.sub(
        r"^L\['self'\]\.?|\._modules\['([^']+)'\]", lambda m: f".{m.group(1)}" if m.group(1) else "", path
    )
    return f"{path.strip('.') or 'the module itself'} ({kind_name})"


def _target(chain: list[BaseException]) -> str:
    node = _failing_node(chain)
    name = str(getattr(node, "target", ""))
    return "::".join(name.split(".")[:2])


def _code(chain: list[BaseException]) -> str:
    for item in chain:
        for path, line, _, source in _CODE.findall(str(item)):
            if "/torch/" not in path.replace("\\", "/"):
                name = path.replace("\\", "/").rsplit("/", 1)[-1]
                return f"{name} line {line} ({source.strip()})"
    return "one of its conditions"


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return re.sub(r"\x1b\[[0-9;]*m", "", text)[:300]
