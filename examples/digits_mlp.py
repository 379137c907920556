"""Handwritten digits: a perceptron of two hidden layers on scikit-learn's 1797 real images of 8 x 8 pixels."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import staticgrad as sg

EPOCHS, BATCH = 100, 64


def main() -> float:
    """Train, draw, export and use what was exported; returns the accuracy on images never trained on."""
    images, digits = load_digits(return_X_y=True)
    images = (images / 16).astype("float32")
    train_x, test_x, train_y, test_y = train_test_split(
        images, digits.astype("int64"), test_size=0.25, random_state=0, stratify=digits
    )
    print(f"{len(train_x)} images of 8 x 8 pixels to learn from, {len(test_x)} to test on.")

    x = sg.input("x", ("N", 64))
    y = sg.input("y", ("N",), dtype="int64")
    model = sg.nn.Sequential(
        sg.nn.Linear(64, 128, name="layer1"),
        sg.relu,
        sg.nn.Linear(128, 128, name="layer2"),
        sg.relu,
        sg.nn.Linear(128, 10, name="layer3"),
    )
    logits = model(x)
    loss = sg.nn.functional.cross_entropy(logits, y)
    accuracy = (logits.argmax(-1) == y).float().mean()
    steps = EPOCHS * (len(train_x) // BATCH)
    rate = sg.optim.cosine_decay_schedule(2e-3, steps)
    step = sg.train_step(
        loss,
        sg.optim.adamw(rate, weight_decay=1e-2),
        metrics={"accuracy": accuracy},
        predictions={"probabilities": logits.softmax(-1)},
    )
    trainer = sg.Trainer(step)
    print(f"Training with AdamW for {EPOCHS} epochs on {trainer.device}.")

    random = np.random.default_rng(0)
    curve = []
    progress = tqdm(range(EPOCHS), desc="epochs", ncols=80)
    for _ in progress:
        order = random.permutation(len(train_x))
        results = []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            results.append(trainer.step(x=shifted(train_x[chosen], random), y=train_y[chosen]))
        held_out = trainer.evaluate({"x": test_x, "y": test_y})
        curve.append((float(np.mean([float(r) for r in results])), held_out["loss"]))
        progress.set_postfix(loss=f"{curve[-1][0]:.4f}", accuracy=f"{held_out['accuracy']:.4f}")

    probabilities = trainer.predict(x=test_x)["probabilities"]
    guesses = probabilities.argmax(-1)
    score = float((guesses == test_y).mean())
    print(f"Accuracy on the test images: {score:.2%}")
    draw_losses(curve, "digits_loss.png")
    draw_mistakes(test_x, test_y, guesses, "digits_mistakes.png")

    trainer.export_inference("digits_mlp.onnx")
    session = onnxruntime.InferenceSession("digits_mlp.onnx", providers=["CPUExecutionProvider"])
    (again,) = session.run(["probabilities"], {"x": test_x})
    print(f"digits_mlp.onnx, in onnxruntime alone: accuracy {(again.argmax(-1) == test_y).mean():.2%}")

    step.export_bundle("digits_bundle")
    first, last = train_from_bundle(Path("digits_bundle"), train_x[:256], train_y[:256])
    print(f"digits_bundle, in onnxruntime alone: 20 steps take the loss from {first:.3f} to {last:.3f}")
    return score


def shifted(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The images, some of them moved by a pixel: a digit is the same digit a little to the side."""
    framed = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    down, right = random.choice(3, (2, len(images), 1, 1), p=[0.1, 0.8, 0.1])
    rows, columns = np.arange(8)[:, None], np.arange(8)
    return framed[np.arange(len(images))[:, None, None], down + rows, right + columns].reshape(-1, 64)


def train_from_bundle(folder: Path, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Train from the exported bundle with nothing but onnxruntime; returns the first and the last loss."""
    manifest = json.loads((folder / "manifest.json").read_text())
    init, step = (
        onnxruntime.InferenceSession(folder / manifest["models"][name]["file"], providers=["CPUExecutionProvider"])
        for name in ("init", "train_step")
    )
    state = dict(zip([o.name for o in init.get_outputs()], init.run(None, {}), strict=True))
    names = [o.name for o in step.get_outputs()]
    losses = []
    for _ in range(20):
        results = dict(zip(names, step.run(names, {"x": x, "y": y, **state}), strict=True))
        losses.append(float(results["loss"]))
        state = {name: results[following] for name, following in manifest["state"].items()}
    return losses[0], losses[-1]


def draw_losses(curve: list[tuple[float, float]], path: str) -> None:
    """The loss on training and test images, by epoch."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for losses, name in zip(zip(*curve, strict=True), ("training images", "test images"), strict=True):
        axes.semilogy(range(1, len(losses) + 1), losses, label=name)
    axes.set(xlabel="epoch", ylabel="cross entropy (nats)", title="Loss while learning digits")
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"The loss curve is in {path}.")


def draw_mistakes(images: np.ndarray, digits: np.ndarray, guesses: np.ndarray, path: str) -> None:
    """Every misclassified test image with what it is and what it was taken for."""
    wrong = np.flatnonzero(digits != guesses)
    columns = 6
    rows = max(-(-len(wrong) // columns), 1)
    figure, grid = plt.subplots(rows, columns, figsize=(1.5 * columns, 1.9 * rows), squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, wrong, strict=False):
        axes.imshow(images[i].reshape(8, 8), cmap="gray_r")
        axes.set_title(f"{digits[i]}, read as {guesses[i]}", fontsize=9)
    figure.suptitle(f"{len(wrong)} of {len(digits)} test images misread")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"The {len(wrong)} misread images are in {path}.")


if __name__ == "__main__":
    main()
