"""Run a bundle: on its board with the engine that was chosen for it, elsewhere through ONNX Runtime."""

from edgepress.runtimes.session import Result, Session, load

__all__ = ["Result", "Session", "load"]
