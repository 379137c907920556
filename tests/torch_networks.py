"""Small PyTorch models of the kinds that people export."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """A block of a residual net."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.short(x))


class UNet(nn.Module):
    """Down by a pool, up by a transposed convolution and by interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.bottom = nn.Conv2d(6, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.third = nn.Conv2d(10, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = F.leaky_relu(self.first(x), 0.1)
        b = F.leaky_relu(self.second(F.max_pool2d(a, 2)), 0.1)
        c = F.elu(self.bottom(F.avg_pool2d(b, 2)))
        d = F.leaky_relu(self.third(torch.cat([self.up(c), b], 1)), 0.1)
        up = F.interpolate(d, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(torch.cat([up, a], 1))


def depthwise() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 2, 1), nn.Hardswish()]
    for inputs, outputs, stride in ((8, 12, 1), (12, 16, 2)):
        layers += [nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs), nn.ReLU6()]
        layers += [nn.Conv2d(inputs, outputs, 1), nn.PReLU(outputs)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(3, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h, c) = self.layers(x, (h, c))
        return self.head(y), h, c


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.GRU(3, 4, bidirectional=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0]).mean(0)


class CausalAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(n, t, width))


class GptBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    def __init__(self, width: int = 8, heads: int = 2, depth: int = 1, vocabulary: int = 11, context: int = 8) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*[GptBlock(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions(positions))))


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-b, a], -1) * sine


class Llama(nn.Module):
    """Grouped queries, rotary positions, a gated perceptron and an output tied to nothing."""

    def __init__(self, width: int = 8, heads: int = 4, groups: int = 2) -> None:
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, width // heads
        self.tokens = nn.Embedding(9, width)
        self.norm1, self.norm2, self.norm3 = RmsNorm(width), RmsNorm(width), RmsNorm(width)
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, groups * self.size, bias=False)
        self.v = nn.Linear(width, groups * self.size, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 12, bias=False), nn.Linear(width, 12, bias=False)
        self.down = nn.Linear(12, width, bias=False)
        self.head = nn.Linear(width, 9, bias=False)
        self.register_buffer("frequencies", 100.0 ** -(torch.arange(0, self.size, 2) / self.size), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        n, t = tokens.shape
        x = self.tokens(tokens)
        angles = torch.arange(t, device=x.device).to(x.dtype)[:, None] * self.frequencies
        angles = torch.cat([angles, angles], -1)
        h = self.norm1(x)
        q = rotated(self.q(h).view(n, t, self.heads, self.size).transpose(1, 2), angles.cos(), angles.sin())
        k = rotated(self.k(h).view(n, t, self.groups, self.size).transpose(1, 2), angles.cos(), angles.sin())
        v = self.v(h).view(n, t, self.groups, self.size).transpose(1, 2)
        k, v = (z.repeat_interleave(self.heads // self.groups, 1) for z in (k, v))
        scores = q @ k.transpose(-1, -2) / self.size**0.5
        future = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        x = x + self.o((weights @ v).transpose(1, 2).reshape(n, t, -1))
        h = self.norm2(x)
        return self.head(self.norm3(x + self.down(F.silu(self.gate(h)) * self.up(h))))


class VisionTransformer(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 5, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(self.encoder(x)[:, 0])


class GraphNet(nn.Module):
    """Messages along edges, added up at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.message = nn.Sequential(nn.Linear(9, 6), nn.SiLU(), nn.Linear(6, 6))
        self.update = nn.Sequential(nn.Linear(10, 6), nn.SiLU(), nn.Linear(6, 4))

    def forward(self, nodes: Tensor, edges: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        source, target = edges[0], edges[1]
        for _ in range(2):
            messages = self.message(torch.cat([nodes[source], nodes[target], lengths], 1))
            index = target[:, None].expand(-1, messages.shape[1])
            total = torch.zeros(nodes.shape[0], 6, dtype=nodes.dtype).scatter_add(0, index, messages)
            nodes = nodes + self.update(torch.cat([nodes, total], 1))
        return nodes, nodes.sum(0)


class Experts(nn.Module):
    """The two best of four experts, weighted by their gates."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(5, 4)
        self.inner = nn.Parameter(torch.zeros(4, 5, 7))
        self.outer = nn.Parameter(torch.zeros(4, 7, 3))

    def forward(self, x: Tensor) -> Tensor:
        gates, chosen = torch.topk(self.router(x), 2, dim=-1)
        weights = torch.zeros_like(self.router(x)).scatter(1, chosen, gates.softmax(-1))
        hidden = F.mish(torch.einsum("nd,edh->neh", x, self.inner))
        return (torch.einsum("neh,eho->neo", hidden, self.outer) * weights[:, :, None]).sum(1)


class Variational(nn.Module):
    """An autoencoder with its noise as an input, and the divergence from a normal distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.Softplus())
        self.mean, self.spread = nn.Linear(8, 3), nn.Linear(8, 3)
        self.decoder = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6), nn.Sigmoid())

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)
        mean, spread = self.mean(h), self.spread(h)
        divergence = -0.5 * torch.sum(1 + spread - mean.pow(2) - spread.exp(), dim=1)
        return self.decoder(mean + noise * torch.exp(0.5 * spread)), divergence


class Temporal(nn.Module):
    """Causal convolutions with growing dilation, their weights of given norm."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv1d(i, 4, 3, dilation=d) for i, d in ((2, 1), (4, 2), (4, 4))])
        self.scales = nn.ParameterList([torch.ones(4, 1, 1) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        for layer, scale in zip(self.layers, self.scales, strict=True):
            dilation = layer.dilation[0]
            weight = scale * layer.weight / layer.weight.norm(dim=(1, 2), keepdim=True)
            y = F.conv1d(F.pad(x, (2 * dilation, 0)), weight, layer.bias, dilation=dilation)
            x = torch.relu(y) + (x if x.shape[1] == 4 else 0)
        return x


class Contrastive(nn.Module):
    """Two towers with one set of weights, and the loss that tells pairs from others."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(5, 7), nn.GELU(approximate="tanh"), nn.Linear(7, 4))
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        u, v = F.normalize(self.tower(a), dim=-1), F.normalize(self.tower(b), dim=-1)
        logits = self.scale.exp() * u @ v.T
        loss = -0.5 * (logits.log_softmax(0).diagonal() + logits.log_softmax(1).diagonal()).mean()
        return loss, F.cosine_similarity(u, v + 0.1)


class Unpooling(nn.Module):
    """An autoencoder that puts maxima back where they were."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(2, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 1)
        self.decoder = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.encoder(x))
        pooled, indices = F.max_pool2d(x, 2, return_indices=True)
        inner = torch.selu(self.inner(pooled))
        empty = torch.zeros_like(x).flatten(2)
        return self.decoder(empty.scatter(2, indices.flatten(2), inner.flatten(2)).view_as(x))


class Diffusion(nn.Module):
    """A denoiser with group normalization and an embedding of time."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 8))
        self.enter = nn.Conv2d(2, 4, 3, padding=1)
        self.norm1, self.down = nn.GroupNorm(2, 4), nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.norm2, self.middle = nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 3, padding=1)
        self.norm3, self.up = nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 3, padding=1)
        self.leave = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        frequencies = 10.0 ** -torch.arange(3, dtype=x.dtype)
        angles = time[:, None] * frequencies
        embedded = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        a = self.enter(x)
        b = self.down(F.silu(self.norm1(a))) + embedded[:, :, None, None]
        c = b + self.middle(F.silu(self.norm2(b)))
        d = self.up(F.interpolate(F.silu(self.norm3(c)), scale_factor=2.0, mode="nearest"))
        return self.leave(torch.cat([a, d], 1))


class Scripted(nn.Module):
    """A cell that is applied as often as an input says, with a branch that depends on its values."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        for _ in range(int(steps)):
            if bool(x.sum() > 0):
                x = -torch.tanh(self.cell(x))
            else:
                x = 0.3 - x * self.bias + torch.sin(x)
        return x


class DeepSets(nn.Module):
    """Sets of different sizes, padded and masked."""

    def __init__(self) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 6), nn.ELU(), nn.Linear(6, 5))
        self.whole = nn.Sequential(nn.Linear(15, 6), nn.CELU(), nn.Linear(6, 2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        h = self.each(x)
        kept = mask[:, :, None].to(h.dtype)
        total = (h * kept).sum(1)
        largest = h.masked_fill(~mask[:, :, None], float("-inf")).amax(1)
        return self.whole(torch.cat([total, total / kept.sum(1), largest], 1))


class SelfAttention(nn.Module):
    """PyTorch's own attention layer with a mask of padding, an instance norm and a soft pool."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.InstanceNorm1d(8, affine=True)
        self.query = nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        y = x + self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        y = self.norm(y.transpose(1, 2)).transpose(1, 2)
        weights = (y @ self.query).masked_fill(padding, -1e9).softmax(1)
        return torch.einsum("nt,ntd->nd", weights, y)


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6, momentum=0.3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 5),
        nn.BatchNorm1d(5),
        nn.LogSoftmax(1),
    )


def residual_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), Residual(4, 6, 2), Residual(6, 8, 2), nn.Flatten(), nn.Linear(32, 3)
    )


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
