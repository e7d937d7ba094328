"""A small language model, tied at its ends, whose linear layers a packed checkpoint fills; and that checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgepress.nn.bitnet_checkpoint import pack_codes

WIDTH, WORDS, LENGTH = 128, 48, 2


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.sub_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.q_proj, self.k_proj = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.v_proj, self.o_proj = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up_proj, self.down_proj = nn.Linear(WIDTH, 80), nn.Linear(80, WIDTH, bias=False)
        self.register_buffer("mask", torch.full((LENGTH, LENGTH), -1e4).triu(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        scores = self.q_proj(y) @ self.k_proj(y).transpose(1, 2) / WIDTH**0.5 + self.get_buffer("mask")
        x = x + self.o_proj(self.sub_norm(scores.softmax(-1) @ self.v_proj(y)))
        result: Tensor = x + self.down_proj(self.up_proj(x).relu() ** 2)
        return result


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(WORDS, WIDTH)
        self.layers = nn.ModuleList([Block()])
        self.lm_head = nn.Linear(WIDTH, WORDS, bias=False)
        self.lm_head.weight = self.embed_tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x)
        result: Tensor = self.lm_head(x)
        return result


def decoder() -> nn.Module:
    return Decoder()


def packed(kind: str = "bitlinear", norms: bool = False) -> dict[str, Tensor]:
    """A checkpoint's tensors as the documentation of transformers packs them, floats in bfloat16."""
    torch.manual_seed(5)
    found: dict[str, Tensor] = {}
    for name, value in Decoder().state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        if name.endswith("_proj.weight"):
            codes = torch.randint(-1, 2, value.shape).to(torch.int8)
            scale = value.abs().mean().reshape(1)
            found[name] = pack_codes(codes)
            found[f"{name}_scale"] = (1 / scale if kind == "bitlinear" else scale).to(torch.bfloat16)
            if norms:
                found[f"{name.removesuffix('weight')}rms_norm.weight"] = torch.rand(value.shape[1]) + 0.5
        else:
            found[name] = value.to(torch.bfloat16)
    return found


def write_folder(folder: Path, tensors: dict[str, Tensor], kind: str = "bitlinear", shards: int = 1) -> Path:
    """A folder as Hugging Face's libraries write it, in so many files."""
    folder.mkdir()
    quantised = {"quant_method": "bitnet", "linear_class": kind, "quantization_mode": "offline"}
    config = {
        "architectures": ["TinyForCausalLM"],
        "tie_word_embeddings": True,
        "quantization_config": quantised,
    }
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = sorted(tensors)
    index: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder
