"""What is exported of PyTorch: the models, their inputs, and what exporters fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_networks import (
    Contrastive,
    DeepSets,
    Diffusion,
    Experts,
    Gpt,
    GraphNet,
    Gru,
    Llama,
    Lstm,
    Scripted,
    SelfAttention,
    Temporal,
    UNet,
    Unpooling,
    Variational,
    VisionTransformer,
    cnn,
    depthwise,
    perceptron,
    residual_net,
)


class Architecture(NamedTuple):
    """A model, its inputs for a batch of `n`, and the axes of each input that are dynamic."""

    build: Callable[[], nn.Module]
    inputs: Callable[[int], tuple[Tensor, ...]]
    axes: tuple[dict[int, str], ...] = ({0: "N"},)
    scripted: bool = False
    folded: Callable[[Mapping[str, Tensor]], list[Tensor]] | None = None


def padding(n: int) -> Tensor:
    """A mask with one to three places, different ones in each row, that are set."""
    return torch.arange(5)[None] > torch.randint(1, 4, (n, 1))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape)


def fused(*pairs: tuple[str, str]) -> Callable[[Mapping[str, Tensor]], list[Tensor]]:
    """The weights of layers with the batch normalizations behind them."""

    def folded(p: Mapping[str, Tensor]) -> list[Tensor]:
        found = []
        for conv, norm in pairs:
            scale = p[f"{norm}.weight"] / torch.sqrt(p[f"{norm}.running_var"] + 1e-5)
            bias = p.get(f"{conv}.bias", torch.zeros(()))
            weight = p[f"{conv}.weight"]
            found.append(weight * scale.reshape(-1, *[1] * (weight.dim() - 1)))
            found.append((bias - p[f"{norm}.running_mean"]) * scale + p[f"{norm}.bias"])
        return found

    return folded


def normed(p: Mapping[str, Tensor]) -> list[Tensor]:
    """The weights of `Temporal`."""
    found = []
    for i in range(3):
        weight = p[f"layers.{i}.weight"]
        found.append(p[f"scales.{i}"] * weight / weight.norm(dim=(1, 2), keepdim=True))
    return found


RESIDUAL = [
    (f"{i}.{a}", f"{i}.{b}")
    for i in "12"
    for a, b in (("body.0", "body.1"), ("body.3", "body.4"), ("short.0", "short.1"))
]
N = {0: "N"}
ARCHITECTURES: dict[str, Architecture] = {
    "perceptron": Architecture(perceptron, lambda n: (normal(n, 6),)),
    "cnn": Architecture(cnn, lambda n: (normal(n, 2, 8, 8),), folded=fused(("0", "1"), ("4", "5"), ("8", "9"))),
    "residual": Architecture(residual_net, lambda n: (normal(n, 2, 8, 8),), folded=fused(*RESIDUAL)),
    "unet": Architecture(UNet, lambda n: (normal(n, 2, 8, 8),)),
    "depthwise": Architecture(depthwise, lambda n: (normal(n, 3, 8, 8),)),
    "lstm": Architecture(Lstm, lambda n: (normal(n, 3, 3), normal(2, n, 5), normal(2, n, 5)), (N, {1: "N"}, {1: "N"})),
    "gru": Architecture(Gru, lambda n: (normal(3, n, 3),), ({1: "N"},)),
    "gpt": Architecture(Gpt, lambda n: (torch.randint(11, (n, 2 + n)),), ({0: "N", 1: "T"},)),
    "llama": Architecture(Llama, lambda n: (torch.randint(9, (n, 2 + n)),), ({0: "N", 1: "T"},)),
    "vit": Architecture(VisionTransformer, lambda n: (normal(n, 3, 8, 8),)),
    "graph": Architecture(
        GraphNet,
        lambda n: (normal(n + 2, 4), torch.randint(n + 2, (2, 3 * n)), normal(3 * n, 1)),
        (N, {1: "E"}, {0: "E"}),
    ),
    "experts": Architecture(Experts, lambda n: (normal(n, 5),)),
    "variational": Architecture(Variational, lambda n: (normal(n, 6), normal(n, 3)), (N, N)),
    "temporal": Architecture(Temporal, lambda n: (normal(n, 2, 7 + n),), ({0: "N", 2: "T"},), folded=normed),
    "contrastive": Architecture(
        Contrastive, lambda n: (normal(n, 5), normal(n, 5)), (N, N), folded=lambda p: [p["scale"].exp()]
    ),
    "unpooling": Architecture(Unpooling, lambda n: (normal(n, 2, 6, 6),)),
    "diffusion": Architecture(Diffusion, lambda n: (normal(n, 2, 8, 8), torch.rand(n) * 9), (N, N)),
    "scripted": Architecture(Scripted, lambda n: (normal(n, 4), torch.tensor(n)), (N, {}), scripted=True),
    "sets": Architecture(DeepSets, lambda n: (normal(n, 5, 3), ~padding(n)), (N, N)),
    "attention": Architecture(SelfAttention, lambda n: (normal(n, 5, 8), padding(n)), (N, N)),
}


def built(name: str) -> Any:
    """The model with weights that are all different numbers, for exporters store equal tensors once."""
    torch.manual_seed(0)
    model = ARCHITECTURES[name].build()
    taken = torch.zeros(0)
    with torch.no_grad():
        for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point() or key == "frequencies":
                continue
            if tensor.dim() > 1 and "tokens" not in key:
                tensor.normal_(0, tensor[0].numel() ** -0.5)
            else:
                tensor.uniform_(0.3, 1.2)
            while True:
                everything = torch.cat([taken, tensor.flatten()])
                if everything.unique().numel() == everything.numel():
                    break
                tensor.mul_(1 + 1e-3 * torch.rand_like(tensor))
            taken = everything
    return model
