"""The workloads in PyTorch, eager or compiled.

Two threads; images channels last, which is faster for every workload that has images; the fused optimizers of the CPU,
and for the embedding sparse gradients with an optimizer of their own, since fused ones refuse them. Batches become
tensors when a program is built, in the layout the model wants, as in all peers: what is compared is the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

import torch
from torch import Tensor, nn

from benchmarks.suite.peers.pytorch_models import MODELS, of_onnx
from benchmarks.suite.program import Program, Weights
from benchmarks.suite.workloads import Workload


def build(workload: Workload, weights: Weights, compiled: bool = False) -> Program:
    """The workload's program, from the weights; `compiled` by `torch.compile`, the backward pass with it."""
    torch.set_num_threads(2)
    make, measure = MODELS[workload.model]
    model = make(workload.sizes)
    counts = {name: value for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")}
    model.load_state_dict(counts | of_onnx(weights))
    batches = [(torch.from_numpy(batch["x"]), torch.from_numpy(batch["y"])) for batch in workload.data()]
    if batches[0][0].dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        batches = [(x.to(memory_format=torch.channels_last), y) for x, y in batches]
    optimizers = optimizers_of(workload, model)
    at = count()

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return measure(model(x), y)

    step_loss: Callable[[Tensor, Tensor], Tensor] = torch.compile(loss_of) if compiled else loss_of

    def run(steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            loss = step_loss(*batches[next(at) % len(batches)])
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses).tolist() if losses else []

    return run


def optimizers_of(workload: Workload, model: nn.Module) -> list[torch.optim.Optimizer]:
    """One for what has dense gradients, and one for what has sparse ones."""
    sparse = [module.weight for module in model.modules() if isinstance(module, nn.Embedding) and module.sparse]
    dense = [parameter for parameter in model.parameters() if not any(parameter is other for other in sparse)]
    optimizers = [_optimizer(workload, dense, fused=True)]
    if sparse:
        optimizers.append(_optimizer(workload, sparse, fused=False))
    return optimizers


def _optimizer(workload: Workload, parameters: Iterable[Tensor], fused: bool) -> torch.optim.Optimizer:
    rate = workload.rate
    return {
        "sgd": lambda: torch.optim.SGD(parameters, rate, fused=fused),
        "momentum": lambda: torch.optim.SGD(parameters, rate, momentum=0.9, fused=fused),
        "adam": lambda: torch.optim.Adam(parameters, rate, fused=fused),
        "adamw": lambda: torch.optim.AdamW(parameters, rate, weight_decay=workload.weight_decay, fused=fused),
        "adagrad": lambda: torch.optim.Adagrad(parameters, rate, initial_accumulator_value=0.1, eps=1e-7, fused=fused),
    }[workload.optimizer]()
