"""``edgepress init``: a commented recipe to start from."""

from __future__ import annotations

from pathlib import Path

import click

from edgepress.errors import UsageError
from edgepress.replacing import replacing

_RECIPE = """# A recipe: `edgepress build {file}` builds what it says. Every key has a default, shown here.

model = "{model}"        # a name of the zoo, path.onnx, package.module:callable or file.py:callable
target = "{target}"                    # edgepress targets lists the boards; or a path to your own .toml
method = {method:26}{about}
# name = "my-net"                  # what the model is called; the source's own name by default
# output = "my-net-{target}.edge"    # the bundle to write
{data}
samples = 64                       # how many of them are used, at most
golden = 2                         # how many golden examples the bundle carries
# engines = ["aot", "ort"]         # compilers to use; all that the target takes by default
# labels = "labels.txt"            # one class name a line, for the first output
# on = "local"                     # choose between engines by measuring on this machine

{options}
# What the network may lose against the float one.
[gate]
accuracy_drop = 0.01               # with labelled data: share of right answers lost
agreement = 0.90                   # without labels: share of first choices that stay the same
sqnr_db = 15.0                     # without labels: signal-to-quantisation-noise ratio of each output, in dB

# One table an input of your own network: its shape and type, and how it is made.
# [inputs.image]
# shape = [1, 3, 224, 224]
# dtype = "float32"
# [inputs.image.prepare]           # kind is image, audio, array or text
# kind = "image"
# mean = [123.675, 116.28, 103.53] # in pixel units, 0 to 255
# std = [58.395, 57.12, 57.375]
# crop = 0.875
# resample = "bicubic"

# What an output means: kind is scores (with labels) or array.
# [outputs.output]
# kind = "scores"
# activation = "softmax"
"""

_METHOD = {
    "auto": "# auto, none, int8, ternary: auto keeps int8 where it passes the gate and is not slower",
    "ternary": "# weights of -1, 0 and +1, by training on examples: docs/ternary.md",
}
_DATA = {
    "auto": '# data = "photos"                  # a folder of examples to calibrate and check with',
    "ternary": 'data = "digits"                    # examples to train on: a folder, file.py:callable, or digits',
}
_OPTIONS = {
    "auto": """# Options of a method chosen by name, such as int8:
# [options]
# calibration = "percentile"
""",
    "ternary": """[options]
start = "auto"                     # float: from the model's own weights; scratch: a float network is trained first
steps = 2000                       # batches; or rounds = 20, how often all examples are seen
batch = 128
rate = 0.001                       # the highest learning rate
decay = 0.0001                     # weight decay, until half of the steps
phase = 0.5                        # the share of steps in which quantisation comes in
distil = 0.5                       # weight of the float network's outputs in the loss
patience = 0                       # scores without a better one after which training ends; 0 goes on
seed = 0
# skip = ["head.*"]                # names of layers that stay as they are
# measure = "mean"                 # what a scale is taken from; the median by default
# loss = "losses.py:mine"          # in place of cross-entropy or the squared error: loss(outputs, targets)
# precision = "bfloat16"           # faster where the machine has it
""",
}


@click.command(short_help="Write a commented recipe to start from.")
@click.argument("file", type=click.Path(path_type=Path), default="recipe.toml")
@click.option("--model", default="efficientnet-lite0", show_default=True, help="The model to put into it.")
@click.option("--target", default="rpi4", show_default=True, help="The board to put into it.")
@click.option(
    "--method",
    type=click.Choice(list(_METHOD)),
    default="auto",
    show_default=True,
    help="The method to put into it.",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def command(file: Path, model: str, target: str, method: str, force: bool) -> None:
    """Write a commented recipe to FILE (recipe.toml by default)."""
    for text in (model, target):
        if '"' in text or "\\" in text or not text.isprintable():
            raise UsageError(f"{text!r} cannot stand in a recipe; leave quotes and backslashes out")
    if file.suffix != ".toml":
        raise UsageError(f"{file} should end in .toml, so that edgepress build knows it for a recipe")
    if file.exists() and not force:
        raise UsageError(f"{file} is there already; choose another name, or replace it with --force")
    text = _RECIPE.format(
        file=file.name, model=model, target=target, method=f'"{method}"', about=_METHOD[method], data=_DATA[method],
        options=_OPTIONS[method],
    )  # fmt: skip
    with replacing(file, "choose another folder") as made:
        made.write(text.encode())
    click.echo(f"wrote {file}; edgepress build {file} builds it")
