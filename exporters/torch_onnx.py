"""From a torch module to a checked ONNX graph that gives the same outputs."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import torch

from edgepress.errors import CheckError, SourceError, UnsupportedOpError
from edgepress.exporters.refusals import explain
from edgepress.graph.limits import lower_ir_opset
from edgepress.graph.names import rename
from edgepress.graph.shapes import infer_shapes
from edgepress.graph.tidy import tidy
from edgepress.tensor import TensorSpec

# torch's exporter writes this opset natively; newer ones only where an operator needs it.
NATIVE_OPSET = 18
_ROUNDED_DB = 20.0  # what activations that round the other way leave of the signal at the least


@dataclass(frozen=True)
class Comparison:
    """How far a graph's outputs lie from the module's.

    Attributes:
        max_abs_error: the largest difference of any output element over all cases.
        scale: the largest magnitude among the module's outputs.
        cases: how many sets of inputs were compared.
        tolerance: what was allowed: ``tolerance * max(1, scale)``.
        within: cases in which no element differs by more.
        sqnr_db: signal-to-noise ratio of all outputs, where some case was not within.
    """

    max_abs_error: float
    scale: float
    cases: int
    tolerance: float
    within: int
    sqnr_db: float | None = None


@dataclass(frozen=True)
class Exported:
    """An exported graph and how it compares with the module it came from."""

    model: onnx.ModelProto
    comparison: Comparison


def export_module(
    module: torch.nn.Module,
    inputs: Sequence[TensorSpec],
    *,
    example_inputs: Mapping[str, np.ndarray] | None = None,
    max_opset: int,
    max_ir: int,
    output_names: Sequence[str] | None = None,
    tolerance: float = 1e-4,
    cases: int = 3,
    rounds: bool = False,
) -> Exported:
    """Export a module with fixed shapes, clean the graph, and compare it with torch.

    The graph is checked, shape-inferred and folded; its names come from the module's; its bytes repeat.

    Args:
        module: exported in evaluation mode; its mode is put back afterwards.
        inputs: inputs of ``forward``: by name where all names are its own, else in its order.
        example_inputs: one array for each input, used for tracing and as the first case of the comparison;
            where it is None, random ones are taken.
        max_opset, max_ir: the newest that the target's runtime reads.
        output_names: names for the outputs; ``output``, or ``output_0`` … where there are several, by
            default.
        tolerance: allowed difference, relative to the largest output where that is above 1.
        cases: how many sets of inputs are compared; those after the first are random with a fixed seed.
        rounds: the module rounds activations: where sums are added up in another order, one may round the other
            way, and others after it. Cases need not be within the tolerance then, but their noise must be low.

    Raises:
        UnsupportedOpError: an operator has no ONNX form; names it and the module it comes from.
        SourceError: the inputs are not those of ``forward``, the module cannot be traced, its outputs vary in
            shape, or the limits cannot be kept.
        CheckError: the graph does not give torch's outputs.
    """
    inputs = _in_order(module, inputs)
    feeds = _cases(inputs, example_inputs, cases)
    was_training = module.training
    module.eval()
    try:
        raw, where = _export(module, inputs, feeds[0], max_opset)
        expected = [_run_torch(module, inputs, feed) for feed in feeds]
    finally:
        module.train(was_training)
    model = _with_output_names(tidy(raw), output_names)
    model = infer_shapes(rename(lower_ir_opset(model, max_ir, max_opset), where))
    _require_static(model)
    onnx.checker.check_model(model, full_check=True)
    return Exported(model, _compare(model, feeds, expected, tolerance, rounds))


def _in_order(module: torch.nn.Module, inputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """The inputs in the order in which ``forward`` takes them."""
    names = [spec.name for spec in inputs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SourceError(f"the input {twice!r} is given twice; give each input once")
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return list(inputs)
    takes = [
        item.name for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)
    ]
    needs = [item.name for item in parameters if item.name in takes and item.default is item.empty]
    needs += [
        f"{item.name} (by name only)"
        for item in parameters
        if item.kind == item.KEYWORD_ONLY and item.default is item.empty
    ]
    more = any(item.kind == item.VAR_POSITIONAL for item in parameters)
    strangers = [name for name in names if name not in takes]
    by_name = not strangers and set(names) == set(takes[: len(names)])
    in_place = all(name not in takes or takes.index(name) == place for place, name in enumerate(names))
    if len(names) < len(needs) or (len(names) > len(takes) and not more) or not (by_name or in_place):
        raise SourceError(
            f"the module's forward takes {', '.join(takes) or 'nothing'}, not {', '.join(names) or 'nothing'};"
            f" give --input name:shape:dtype for {'each of ' if len(needs) > 1 else ''}{', '.join(needs) or 'them'}"
        )
    return sorted(inputs, key=lambda spec: takes.index(spec.name)) if by_name else list(inputs)


def _export(
    module: torch.nn.Module, inputs: Sequence[TensorSpec], feed: Mapping[str, np.ndarray], max_opset: int
) -> tuple[onnx.ModelProto, dict[str, str]]:
    arguments = tuple(torch.from_numpy(feed[spec.name].copy()) for spec in inputs)
    names = [spec.name for spec in inputs]
    opsets = [NATIVE_OPSET, *([min(max_opset, 23)] if max_opset > NATIVE_OPSET else [])]
    refusal: SourceError | None = None
    for opset in opsets:
        try:
            with _quiet():
                program = torch.onnx.export(
                    module, arguments, input_names=names, dynamo=True, opset_version=opset, verbose=False
                )
        except (KeyboardInterrupt, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # torch raises dozens of types here; all are about the model
            refusal = refusal or explain(error)
            if not isinstance(refusal, UnsupportedOpError):
                break
            continue
        if program is None:
            raise SourceError("torch gave no ONNX program for this module")
        model = program.model_proto
        return model, _places(model)
    assert refusal is not None
    raise refusal from None


def _places(model: onnx.ModelProto) -> dict[str, str]:
    """By each node's first output, the module path torch notes in its metadata."""
    places: dict[str, str] = {}
    for node in model.graph.node:
        noted = {item.key: item.value for item in node.metadata_props}.get("pkg.torch.onnx.name_scopes", "")
        scopes = re.findall(r"'([^']*)'", noted)
        if len(scopes) >= 2 and node.output:
            places[node.output[0]] = scopes[-2]
    return places


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter: what matters comes as an exception or shows in the comparison."""
    names = ("torch", "torch.onnx", "torch.export", "torch._dynamo", "torch.fx", "onnxscript", "onnx_ir")
    loggers = [logging.getLogger(name) for name in names]
    levels = [(logger, logger.level) for logger in loggers]
    silence = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL + 1)
            yield
        finally:
            for logger, level in levels:
                logger.setLevel(level)


def _with_output_names(model: onnx.ModelProto, names: Sequence[str] | None) -> onnx.ModelProto:
    outputs = [item.name for item in model.graph.output]
    if names is None:
        names = ["output"] if len(outputs) == 1 else [f"output_{i}" for i in range(len(outputs))]
    if len(names) != len(outputs) or len(set(names)) != len(names):
        raise SourceError(
            f"the module gives {len(outputs)} outputs; name each of them once, not {list(names)}"
        )
    inputs = {item.name for item in model.graph.input}
    clash = inputs.intersection(names)
    if clash:
        raise SourceError(
            f"{sorted(clash)[0]!r} names an input and an output; choose another name for the output"
        )
    if len(set(outputs)) != len(outputs) or inputs.intersection(outputs):
        raise SourceError(
            "the module gives the same tensor out twice, or an input unchanged; return each result once"
        )
    # Names in use elsewhere give way: they are only tensors between nodes or constants.
    new_names: dict[str, str] = {}
    used = {name for node in model.graph.node for name in node.output} | {
        t.name for t in model.graph.initializer
    }
    for name in sorted(used.intersection(names).difference(outputs)):
        new_names[name] = f"{name}.inner"
    new_names.update(zip(outputs, names, strict=True))
    for node in model.graph.node:
        for fields in (node.input, node.output):
            for i, old in enumerate(fields):
                fields[i] = new_names.get(old, old)
    for value in (*model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.name = new_names.get(value.name, value.name)
    return model


def _require_static(model: onnx.ModelProto) -> None:
    for value in model.graph.output:
        if any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim):
            raise SourceError(
                f"the output {value.name!r} changes its shape with the input's values; return a fixed"
                " number of"
                " elements (for example the k largest with torch.topk) and choose among them after the model"
            )


def _cases(
    inputs: Sequence[TensorSpec], example: Mapping[str, np.ndarray] | None, cases: int
) -> list[dict[str, np.ndarray]]:
    feeds: list[dict[str, np.ndarray]] = []
    if example is not None:
        for spec in inputs:
            given = example.get(spec.name)
            if given is None or tuple(given.shape) != spec.shape or str(given.dtype) != spec.dtype:
                found = "nothing" if given is None else f"{given.dtype} {tuple(given.shape)}"
                raise SourceError(
                    f"the example for {spec.name!r} must be {spec.dtype} {spec.shape}, not {found}"
                )
        feeds.append({spec.name: np.ascontiguousarray(example[spec.name]) for spec in inputs})
    generator = np.random.default_rng(0)
    while len(feeds) < max(1, cases):
        base = feeds[0] if feeds else None
        feeds.append({spec.name: _random(spec, generator, base) for spec in inputs})
    return feeds


def _random(
    spec: TensorSpec, generator: np.random.Generator, base: Mapping[str, np.ndarray] | None
) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        low, high = spec.range or (None, None)
        if low is not None and high is not None:
            return generator.uniform(low, high, spec.shape).astype(dtype)
        return generator.standard_normal(spec.shape).astype(dtype)
    if dtype.kind == "b":
        return generator.integers(0, 2, spec.shape).astype(dtype)
    # Integers are often indices: stay within what the example or the range shows to be valid.
    seen = (0, 1) if base is None else (int(base[spec.name].min()), int(base[spec.name].max()))
    low_int, high_int = (int(spec.range[0]), int(spec.range[1])) if spec.range else seen
    return generator.integers(low_int, high_int + 1, spec.shape).astype(dtype)


def _run_torch(
    module: torch.nn.Module, inputs: Sequence[TensorSpec], feed: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    try:
        with torch.no_grad(), contextlib.redirect_stdout(sys.stderr):  # the module may print
            result = module(*(torch.from_numpy(feed[spec.name].copy()) for spec in inputs))
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:  # it is the user's code
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise SourceError(f"the module fails on one of its inputs: {cause}; mend it and try again") from error
    flat, _ = torch.utils._pytree.tree_flatten(result)
    return [item.detach().cpu().numpy() for item in flat if isinstance(item, torch.Tensor)]


def _compare(
    model: onnx.ModelProto,
    feeds: list[dict[str, np.ndarray]],
    expected: list[list[np.ndarray]],
    tolerance: float,
    rounds: bool,
) -> Comparison:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SourceError(
            f"ONNX Runtime refuses the exported graph: {str(error).splitlines()[0][:300]}"
        ) from None
    takes = {item.name for item in session.get_inputs()}
    worst = scale = signal = noise = 0.0
    by_case: list[float] = []
    for feed, wanted in zip(feeds, expected, strict=True):
        given = session.run(None, {name: value for name, value in feed.items() if name in takes})
        if len(given) != len(wanted):
            raise CheckError(f"the graph gives {len(given)} outputs where the module gives {len(wanted)}")
        by_case.append(0.0)
        for ours, theirs in zip(given, wanted, strict=True):
            if np.shape(ours) != theirs.shape:
                raise CheckError(
                    f"the graph gives an output of shape {np.shape(ours)}, the module {theirs.shape}"
                )
            if theirs.size == 0:
                continue
            a, b = np.asarray(ours).astype(np.float64), theirs.astype(np.float64)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            with np.errstate(invalid="ignore"):
                difference = np.where(same, 0.0, np.abs(a - b))
            by_case[-1] = max(
                by_case[-1], float(np.max(np.nan_to_num(difference, nan=np.inf, posinf=np.inf)))
            )
            finite = b[np.isfinite(b)]
            scale = max(scale, float(np.max(np.abs(finite))) if finite.size else 0.0)
            if rounds:
                signal, noise = signal + float(np.sum(b**2)), noise + float(np.sum(difference**2))
    worst, allowed = max(by_case), tolerance * max(1.0, scale)
    within = sum(case <= allowed for case in by_case)
    ratio = float(10 * np.log10(signal / noise)) if signal and noise else None
    if worst > allowed and (ratio is None or ratio < _ROUNDED_DB):
        raise CheckError(
            f"the exported graph differs from torch by {worst:.3g}, more than {allowed:.3g}; the model may"
            " depend on"
            " random numbers or on hidden state, or torch exported an operator wrongly"
        )
    return Comparison(worst, scale, len(feeds), tolerance, within, ratio if within < len(feeds) else None)
