"""The workloads in PyTorch."""

from __future__ import annotations

import os
from itertools import count

import torch

from benchmarks.suite.peers.pytorch_models import MODELS, of_onnx
from benchmarks.suite.program import Program, Weights
from benchmarks.suite.workloads import Workload

CL = os.environ.get("CL", "1") == "1"
FUSED = {"1": True, "0": False, "n": None}[os.environ.get("FUSED", "1")]
COPT = os.environ.get("COPT", "0") == "1"
MODE = os.environ.get("MODE") or None
WRAP = os.environ.get("WRAP", "0") == "1"


def build(workload: Workload, weights: Weights, compiled: bool = False) -> Program:
    torch.set_num_threads(2)
    make, measure = MODELS[workload.model]
    model = make(workload.sizes)
    missing, unexpected = model.load_state_dict(of_onnx(weights), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    batches = [(torch.from_numpy(batch["x"]), torch.from_numpy(batch["y"])) for batch in workload.data()]
    if CL and batches[0][0].dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        batches = [(x.to(memory_format=torch.channels_last), y) for x, y in batches]
    optimizers = optimizers_of(workload, model, compiled)

    def loss_of(x, y):
        return measure(model(x), y)

    if compiled:
        loss_of = torch.compile(loss_of, mode=MODE, options={"cpp_wrapper": True} if WRAP else None)

    def update():
        for optimizer in optimizers:
            optimizer.step()

    if compiled and COPT:
        update = torch.compile(update)
    at = count()

    def run(steps: int) -> list[float]:
        losses = []
        for _ in range(steps):
            x, y = batches[next(at) % len(batches)]
            loss = loss_of(x, y)
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            update()
            losses.append(loss.detach())
        return torch.stack(losses).tolist()

    return run


def optimizers_of(workload, model, compiled):
    rate, fused = workload.rate, FUSED
    sparse = [m.weight for m in model.modules() if getattr(m, "sparse", False)]
    dense = [p for p in model.parameters() if not any(p is q for q in sparse)]

    def make(parameters, fused):
        o = workload.optimizer
        kw = {"fused": fused} if fused is not None else {"foreach": True}
        if o == "sgd":
            return torch.optim.SGD(parameters, rate, **kw)
        if o == "momentum":
            return torch.optim.SGD(parameters, rate, momentum=0.9, **kw)
        if o == "adam":
            return torch.optim.Adam(parameters, rate, **kw)
        if o == "adamw":
            return torch.optim.AdamW(parameters, rate, weight_decay=workload.weight_decay, **kw)
        if o == "adagrad":
            return torch.optim.Adagrad(parameters, rate, initial_accumulator_value=0.1, eps=1e-7, **kw)

    return [make(dense, fused), *([make(sparse, False)] if sparse else [])]
