"""ONNX passes: each a small function from a model to a new model, one idea a file.

Nothing here changes the model it is given, and nothing here imports torch.
"""

from __future__ import annotations
