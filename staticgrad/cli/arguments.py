"""The arguments of the command, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from staticgrad.cli import looking, making
from staticgrad.models.losses import LOSSES
from staticgrad.operator_table import KINDS


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, the function that does it."""
    root = argparse.ArgumentParser(
        prog="staticgrad",
        description="Gradients and training steps of ONNX models, and what is in them.",
        epilog="exit status: 0 fine; 1 the model or the answer is bad; 2 not called right",
    )
    root.add_argument("--version", action="version", version=f"staticgrad {metadata.version('staticgrad')}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    grad = _command(
        commands,
        "grad",
        making.grad,
        "write the gradient of a model as a model",
        "The gradient model has the inputs and outputs of MODEL, an input cotangent.NAME for each output that is "
        "differentiated (none for a single scalar), and an output grad.NAME for each input or parameter asked for.",
        "staticgrad grad net.onnx --of loss --wrt fc.weight fc.bias -o net.grad.onnx",
    )
    grad.add_argument("model", type=Path, metavar="MODEL", help="an .onnx file")
    grad.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="the .onnx file to write")
    grad.add_argument("--of", nargs="+", metavar="NAME", help="outputs to differentiate (default: all floating ones)")
    grad.add_argument(
        "--wrt",
        nargs="+",
        metavar="NAME",
        help="inputs or initializers (default: all floating inputs, or all floating initializers without such)",
    )
    grad.add_argument("--prefix", default="grad", metavar="P", help="for names of what is new (default: grad)")

    step = _command(
        commands,
        "train-step",
        making.train_step,
        "write the training step of a model",
        "Writes init.onnx, train_step.onnx, eval.onnx, predict.onnx, manifest.json and state.safetensors into DIR. "
        f"The loss is the name of a scalar output of MODEL, or one of {', '.join(LOSSES)}, and then an output is "
        "compared with a new input.",
        "staticgrad train-step net.onnx --loss cross_entropy --optimizer adamw --lr 1e-3 --freeze 'encoder.*' -o step",
    )
    step.add_argument("model", type=Path, metavar="MODEL", help="an .onnx file")
    step.add_argument("-o", "--into", type=Path, required=True, metavar="DIR", help="the folder to write")
    step.add_argument("--loss", required=True, metavar="L", help="a scalar output, or the name of a loss")
    step.add_argument("--optimizer", required=True, choices=sorted(making.OPTIMIZERS), help="from sg.optim")
    step.add_argument("--lr", required=True, type=float, metavar="R", help="the learning rate")
    step.add_argument("--momentum", type=float, metavar="M", help="of sgd and rmsprop")
    step.add_argument("--weight-decay", type=float, metavar="D", help="of adamw")
    step.add_argument("--params", nargs="+", metavar="GLOB", help="what is trained, by name or pattern (default: all)")
    step.add_argument("--freeze", nargs="+", metavar="GLOB", help="what of that is not")
    step.add_argument("--output", metavar="NAME", help="what the loss is of (default: the only floating output)")
    step.add_argument("--target", default="target", metavar="NAME", help="the input to compare with (default: target)")
    step.add_argument(
        "--training", action="store_true", help="dropout drops, batch normalization uses its batch and learns"
    )

    check = _command(
        commands,
        "check",
        looking.check,
        "compare the gradient of a model with central differences",
        "For each floating input and parameter, the derivative along a random direction by the gradient and by "
        "differences. Exit status 1 where one is wrong.",
        "staticgrad check net.onnx --size N=4 --feeds batch.npz",
    )
    check.add_argument("model", type=Path, metavar="MODEL", help="an .onnx file")
    check.add_argument("--of", nargs="+", metavar="NAME", help="outputs to differentiate (default: all floating ones)")
    check.add_argument("--wrt", nargs="+", metavar="NAME", help="inputs and parameters (default: all floating ones)")
    check.add_argument("--feeds", type=Path, metavar="NPZ", help="inputs by name (default: random, whole numbers 0)")
    check.add_argument(
        "--size", type=_size, action="append", default=[], metavar="NAME=N", help="of a dimension (default: 3)"
    )
    check.add_argument("--seed", type=int, default=0, metavar="S", help="of the random numbers (default: 0)")
    _json(check)

    inspect = _command(
        commands,
        "inspect",
        looking.inspect,
        "what a model holds, and what has a derivative by what",
        "Inputs, outputs, parameters with their sizes, readers and former names, layers that --training changes, and "
        "every operator that stands in the way of a derivative, with its node and the reason.",
        "staticgrad inspect net.onnx",
    )
    inspect.add_argument("model", type=Path, metavar="MODEL", help="an .onnx file")
    _json(inspect)

    ops = _command(
        commands,
        "ops",
        looking.ops,
        "the table of ONNX's operators: derivatives and kernels",
        "How the derivative of each operator comes about, by which inputs there is one, what is refused, and where it "
        "and its gradient have kernels. With names, all that is known of these.",
        "staticgrad ops Conv LSTM\nstaticgrad ops --derivative body --lacking cuda",
    )
    ops.add_argument("names", nargs="*", metavar="NAME", help="operators (default: all)")
    ops.add_argument("--refused", action="store_true", help="those that are refused, always or in some case")
    ops.add_argument("--derivative", choices=list(KINDS), help="those whose derivative comes about like this")
    ops.add_argument("--lacking", choices=looking.PROVIDERS, help="those with a derivative that lack kernels there")
    ops.add_argument("--markdown", action="store_true", help="the page docs/operators.md")
    _json(ops)

    show = _command(
        commands,
        "show",
        looking.show,
        "what goes into a model, what comes out, and which output feeds which input",
        "Reads no weights, so it is quick for every model.",
        "staticgrad show train_step.onnx",
    )
    show.add_argument("model", type=Path, metavar="MODEL", help="an .onnx file")
    _json(show)

    devices = _command(
        commands,
        "devices",
        looking.devices,
        "where a training step can run here",
        "The CPU always can; for CUDA it says what is missing.",
        "staticgrad devices",
    )
    _json(devices)
    return root


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], short: str, long: str, example: str
) -> argparse.ArgumentParser:
    examples = "\n".join(f"  {line}" for line in example.splitlines())
    made: argparse.ArgumentParser = commands.add_parser(
        name,
        help=short,
        description=f"{short[0].upper()}{short[1:]}.\n\n{long}",
        epilog=f"example:\n{examples}",
        formatter_class=_Help,
    )
    made.set_defaults(run=run)
    return made


class _Help(argparse.HelpFormatter):
    """Paragraphs of descriptions are filled, examples stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example:"):
            return text
        return "\n\n".join(super(_Help, self)._fill_text(part, width, indent) for part in text.split("\n\n"))


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="as JSON")


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=NUMBER")
    return name, int(number)
