"""Torch code with a checkpoint beside it: packed BitNet weights become a bundle that computes what torch does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from edgepress.bundle import open_bundle
from edgepress.errors import SourceError
from edgepress.nn.ternary_frozen import FrozenTernary
from edgepress.recipe import read_recipe
from edgepress.runtimes import load
from edgepress.runtimes.ort import OrtEngine
from edgepress.source import resolve
from edgepress.tensor import TensorSpec
from tests.build import decoder
from tests.build.conftest import Edgepress
from tests.graph.graphs import ops

FILE = Path(decoder.__file__)
MODEL = f"{FILE}:decoder"
IDS = (TensorSpec("ids", (1, decoder.LENGTH), "int64"),)


def reference(tensors: dict[str, torch.Tensor], kind: str, ids: torch.Tensor) -> torch.Tensor:
    """The network with layers that compute as transformers' own do, in float."""

    class Layer(torch.nn.Module):
        def __init__(self, name: str, layer: torch.nn.Linear) -> None:
            super().__init__()
            packed = tensors[f"{name}.weight"]
            parts = [((packed >> shift) & 3).float() - 1 for shift in (0, 2, 4, 6)]
            self.codes, self.scale = (
                torch.cat(parts)[: layer.out_features],
                tensors[f"{name}.weight_scale"].float(),
            )
            self.bias, self.norm = tensors.get(f"{name}.bias"), tensors.get(f"{name}.rms_norm.weight")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.norm is not None:
                x = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * self.norm
            scale = 127 / x.abs().amax(-1, keepdim=True).clamp(min=1e-5)
            codes = (x * scale).round().clamp(-128, 127)
            bias = 0 if self.bias is None else self.bias.float()
            if kind == "bitlinear":
                return codes @ self.codes.T / (scale * self.scale) + bias
            return (codes / scale @ self.codes.T + bias) * self.scale

    network = decoder.Decoder().eval()
    floats = {name: value for name, value in tensors.items() if "_proj" not in name}
    network.load_state_dict({**floats, "lm_head.weight": floats["embed_tokens.weight"]}, strict=False)
    for name, layer in list(network.named_modules()):
        if name.endswith("_proj"):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, Layer(name, layer))
    with torch.no_grad():
        result: torch.Tensor = network(ids)
    return result


@pytest.mark.parametrize(
    ("kind", "shards", "norms"),
    [("bitlinear", 1, False), ("autobitlinear", 3, False), ("bitlinear", 2, True)],
)
def test_the_network_computes_as_the_library_says(
    tmp_path: Path, kind: str, shards: int, norms: bool
) -> None:
    tensors = decoder.packed(kind, norms)
    source = resolve(MODEL, IDS, str(decoder.write_folder(tmp_path / "tiny", tensors, kind, shards)))
    module = source.load()
    assert sum(isinstance(layer, FrozenTernary) for layer in module.modules()) == 6
    assert source.origin["weights"] == "tiny"
    ids = torch.randint(0, decoder.WORDS, (1, decoder.LENGTH), generator=torch.Generator().manual_seed(2))
    expected = reference(tensors, kind, ids)
    with torch.no_grad():
        difference = (module(ids) - expected).abs() / expected.abs().max()
    # Sums in another order: an activation here and there rounds the other way, the rest is the same.
    assert float(difference.max()) < 0.02 and float(difference.median()) < 1e-5
    other = {**tensors, "layers.0.norm.weight": tensors["layers.0.norm.weight"] * 2}
    again = resolve(MODEL, IDS, str(decoder.write_folder(tmp_path / "other", other, kind)))
    assert again.digest != source.digest


def test_the_bundle_gives_what_torch_gives(edgepress: Edgepress, tmp_path: Path) -> None:
    """The portable graph exactly; ONNX Runtime's own products, which were asked for, are in its engine's alone."""
    tensors = decoder.packed()
    decoder.write_folder(tmp_path / "tiny", tensors, shards=2)
    done = edgepress(
        "build", MODEL, "--weights", "tiny", "--input", f"ids:1x{decoder.LENGTH}:int64", "--method", "ternary",
        *(f"--option={each}" for each in ("steps=0", "rest=float", "onnxruntime=two-bit")),
        "--target", "rpi5", "--engines", "ort", "-o", "t.edge",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ids = torch.randint(0, decoder.WORDS, (1, decoder.LENGTH), generator=torch.Generator().manual_seed(2))
    expected = reference(tensors, "bitlinear", ids).numpy()
    with load(tmp_path / "t.edge") as session:  # this machine is not the target: the portable graph
        found = session.run({"ids": ids.numpy()})["output"]
    # An activation may round the other way, which is one step of 127 in one product.
    assert float(np.abs(found - expected).max()) < 0.02 * float(np.abs(expected).max())
    with open_bundle(tmp_path / "t.edge") as bundle:
        part = bundle.manifest.parts["main"]
        graph = part.engines["ort"].graph
        assert graph is not None and bundle.manifest.source["weights"] == "tiny"
        own = ops(onnx.load_from_string(bytes(bundle.member(graph.member))))
        plain = ops(onnx.load_from_string(bytes(bundle.member(part.graph.member))))
        near = OrtEngine(bundle, graph).run({"ids": ids.numpy()})["output"]
    assert float(np.linalg.norm(near - expected)) < 0.1 * float(np.linalg.norm(expected))
    assert own.count("MatMulNBits") == 5 and "MatMulNBits" not in plain and plain.count("MatMulInteger") == 6


def test_a_recipe_names_the_checkpoint_beside_it(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('model = "net.py:f"\nweights = "tiny"\n')
    assert read_recipe(tmp_path / "r.toml").weights == str(tmp_path / "tiny")


def test_a_float_checkpoint_fills_the_network(tmp_path: Path) -> None:
    torch.manual_seed(9)
    network = decoder.Decoder().eval()
    tensors = {name: value for name, value in network.state_dict().items() if name != "lm_head.weight"}
    save_file(tensors, tmp_path / "float.safetensors")
    ids = torch.arange(decoder.LENGTH)[None]
    module = resolve(MODEL, IDS, str(tmp_path / "float.safetensors")).load()
    assert torch.equal(module(ids), network(ids))


def refusal(folder: Path, model: str = MODEL) -> str:
    with pytest.raises(SourceError) as caught:
        resolve(model, IDS, str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quant_method": "gptq"}, "in another way than BitNet's"),
        ({"linear_class": "odd"}, "layers of the class 'odd'"),
        ({"rms_norm_eps": "much"}, "ε 'much'"),
    ],
)
def test_another_quantisation_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    folder = decoder.write_folder(tmp_path / "tiny", decoder.packed())
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"].update(change)
    (folder / "config.json").write_text(json.dumps(config))
    assert message in refusal(folder)


def test_another_architecture_is_named(tmp_path: Path) -> None:
    tensors = decoder.packed()
    renamed = {f"model.{name}": value for name, value in tensors.items()}
    said = refusal(decoder.write_folder(tmp_path / "renamed", renamed))
    assert "no linear layer 'model.layers.0." in said and "another architecture (TinyForCausalLM)?" in said
    more = {**tensors, "layers.0.gate": torch.zeros(3)}
    assert "has 'layers.0.gate' beside" in refusal(decoder.write_folder(tmp_path / "more", more))
    less = {name: value for name, value in tensors.items() if name != "layers.0.norm.weight"}
    assert "lacks 'layers.0.norm.weight'" in refusal(decoder.write_folder(tmp_path / "less", less))
    floats = {
        name: value.float() for name, value in decoder.Decoder().state_dict().items() if "head" not in name
    }
    assert "online mode" in refusal(decoder.write_folder(tmp_path / "online", floats))
    broken = {**tensors, "layers.0.norm.weight": torch.full((decoder.WIDTH,), float("nan"))}
    assert "NaN or infinity" in refusal(decoder.write_folder(tmp_path / "nan", broken))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ('{"weight_map": {"a": "../model.safetensors"}}', "no .safetensors file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "no .safetensors file beside it"),
        ('{"weight_map": {"a": 7}}', "no .safetensors file beside it"),
        ('{"weight_map": {"a": "other.safetensors"}}', "lacks other.safetensors"),
        ('{"weight_map": {"gone": "model.safetensors"}}', "lacks 'gone'"),
        ('{"weight_map": []}', "no weight_map"),
        ("[" * 5000, "no JSON file"),
        ("[]", "no table of settings"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(tmp_path: Path, index: str, message: str) -> None:
    folder = decoder.write_folder(tmp_path / "tiny", decoder.packed())
    (folder / "model.safetensors.index.json").write_text(index)
    assert message in refusal(folder)


def test_files_that_hold_no_plain_tensors_are_refused(tmp_path: Path) -> None:
    folder = decoder.write_folder(tmp_path / "tiny", decoder.packed())
    whole = (folder / "model.safetensors").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"\xff" * 64, b""):
        (folder / "model.safetensors").write_bytes(damaged)
        assert "no safetensors file that can be read" in refusal(folder)
    (folder / "model.safetensors").write_bytes(whole)
    (folder / "more.safetensors").write_bytes(whole)
    assert "in two files" in refusal(folder)
    for name in ("more.safetensors", "model.safetensors"):
        (folder / name).unlink()
    assert "holds no .safetensors file" in refusal(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    assert "pickled weights" in refusal(folder) and "pickled weights" in refusal(folder / "pytorch_model.bin")
    assert "does not exist" in refusal(tmp_path / "nowhere")


def test_a_folder_alone_or_weights_for_what_has_its_own_say_what_to_do(tmp_path: Path) -> None:
    folder = decoder.write_folder(tmp_path / "tiny", decoder.packed())
    with pytest.raises(SourceError, match=r"file\.py:callable --weights"):
        resolve(str(folder))
    assert "has its weights with it" in refusal(folder, "net.onnx")
