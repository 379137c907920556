"""Handwritten digits by a small convolutional network with batch normalization, on scikit-learn's 1797 images."""

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

EPOCHS, BATCH = 30, 64


def network() -> sg.nn.Sequential:
    """Images (N, 1, 8, 8) -> logits (N, 10)."""
    return sg.nn.Sequential(
        sg.nn.Conv2d(1, 32, 3, padding=1, bias=False, name="conv1"),
        sg.nn.BatchNorm2d(32, name="norm1"),
        sg.relu,
        sg.nn.Conv2d(32, 32, 3, padding=1, bias=False, name="conv2"),
        sg.nn.BatchNorm2d(32, name="norm2"),
        sg.relu,
        sg.nn.MaxPool2d(2),
        sg.nn.Conv2d(32, 64, 3, padding=1, bias=False, name="conv3"),
        sg.nn.BatchNorm2d(64, name="norm3"),
        sg.relu,
        sg.nn.AvgPool2d(4),
        sg.nn.Flatten(),
        sg.nn.Linear(64, 10, name="head"),
    )


def main() -> float:
    """Train, export and draw; returns the accuracy on images never trained on."""
    train_x, test_x, train_y, test_y = digits()
    print(f"{len(train_x)} images of 8 x 8 pixels to learn from, {len(test_x)} to test on.")

    x = sg.input("x", ("N", 1, 8, 8))
    y = sg.input("y", ("N",), dtype="int64")
    logits = network()(x)
    steps = EPOCHS * (len(train_x) // BATCH)
    step = sg.train_step(
        sg.nn.functional.cross_entropy(logits, y),
        sg.optim.adamw(sg.optim.cosine_decay_schedule(4e-3, steps), weight_decay=1e-2),
        metrics={"accuracy": (logits.argmax(-1) == y).float().mean()},
        predictions={"probabilities": logits.softmax(-1)},  # with the running statistics of the normalizations
    )
    trainer = sg.Trainer(step)
    random = np.random.default_rng(0)
    progress = tqdm(range(EPOCHS), desc="epochs", ncols=80)
    for _ in progress:
        order = random.permutation(len(train_x))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            trainer.step(x=shifted(train_x[chosen], random), y=train_y[chosen])
        held_out = trainer.evaluate({"x": test_x, "y": test_y})
        progress.set_postfix(loss=f"{held_out['loss']:.4f}", accuracy=f"{held_out['accuracy']:.4f}")

    trainer.export_inference("digits_cnn.onnx")
    session = onnxruntime.InferenceSession("digits_cnn.onnx", providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probabilities"], {"x": test_x})
    guesses = probabilities.argmax(-1)
    score = float((guesses == test_y).mean())
    print(f"digits_cnn.onnx, in onnxruntime alone: accuracy on the test images {score:.2%}")
    draw_filters(trainer.state()["conv1/weight"], "digits_cnn_filters.png")
    draw_mistakes(test_x, test_y, probabilities, "digits_cnn_mistakes.png")
    return score


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 1, 8, 8) in [0, 1] and digits, three quarters to train on and one to test on."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 1, 8, 8)
    split = train_test_split(images, labels.astype("int64"), test_size=0.25, random_state=0, stratify=labels)
    return tuple(split)


def shifted(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The images, some of them moved by a pixel: a digit is the same digit a little to the side."""
    framed = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
    down, right = random.choice(3, (2, len(images), 1, 1), p=[0.15, 0.7, 0.15])
    rows, columns = np.arange(8)[:, None], np.arange(8)
    return framed[np.arange(len(images))[:, None, None], down + rows, right + columns][:, None]


def draw_filters(weights: np.ndarray, path: str) -> None:
    """The 3 x 3 filters of the first convolution: red adds, blue takes away."""
    figure, grid = plt.subplots(4, 8, figsize=(8, 4.4), layout="constrained")
    limit = np.abs(weights).max()
    for axes, kernel in zip(grid.flat, weights[:, 0], strict=True):
        shown = axes.imshow(kernel, cmap="coolwarm", vmin=-limit, vmax=limit)
        axes.axis("off")
    figure.colorbar(shown, ax=grid, shrink=0.8, label="weight")
    figure.suptitle("The filters of the first convolution")
    save(figure, path)


def draw_mistakes(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, path: str) -> None:
    """The misclassified test images, and after them those that were read right with the least confidence."""
    guesses = probabilities.argmax(-1)
    confidence = probabilities[np.arange(len(labels)), labels]
    doubtful = np.argsort(confidence)[:12]
    figure, grid = plt.subplots(2, 6, figsize=(9.5, 4), layout="constrained")
    for axes, i in zip(grid.flat, doubtful, strict=True):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.set_title(f"{labels[i]}, read as {guesses[i]}\np({labels[i]}) = {confidence[i]:.2f}", fontsize=9)
        axes.title.set_color("firebrick" if guesses[i] != labels[i] else "black")
        axes.axis("off")
    wrong = int((guesses != labels).sum())
    figure.suptitle(f"{wrong} of {len(labels)} test images misread (red), and the next most doubtful")
    save(figure, path)


def save(figure: plt.Figure, path: str) -> None:
    """Write a picture and say so."""
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"{Path(path).name} is drawn.")


if __name__ == "__main__":
    main()
