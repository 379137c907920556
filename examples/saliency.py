"""What a classifier looks at: an exported model that gives its answer and the gradient of that by the pixels."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits

import staticgrad as sg


def main() -> float:
    """Train, export with the gradient inside, and draw; returns what the gradient foretells of a change."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 1, 8, 8)
    labels = labels.astype("int64")
    train(images[:1400], labels[:1400], "saliency.onnx")

    # From here on there is only the file.
    session = onnxruntime.InferenceSession("saliency.onnx", providers=["CPUExecutionProvider"])
    test_x, test_y = images[1400:], labels[1400:]
    score, slope, probabilities = session.run(["score", "slope", "probabilities"], {"x": test_x})
    print(f"Accuracy on {len(test_y)} test images: {(probabilities.argmax(-1) == test_y).mean():.2%}")
    draw(test_x, test_y, slope, "saliency.png")

    # A small step along the gradient must change the score by the square of its length.
    length = (slope**2).sum((1, 2, 3))
    pace = 1e-3
    (moved,) = session.run(["score"], {"x": test_x + pace * slope})
    agreement = float(np.median((moved - score) / (pace * length)))
    print(f"A small step along the gradient changes the score by {agreement:.4f} of what the gradient says.")
    return agreement


def train(images: np.ndarray, labels: np.ndarray, path: str) -> None:
    """Train a small convolutional network and export it with its input gradient."""
    x = sg.input("x", ("N", 1, 8, 8))
    y = sg.input("y", ("N",), dtype="int64")
    net = sg.nn.Sequential(
        sg.nn.Conv2d(1, 16, 3, padding=1, name="conv1"),
        sg.nn.BatchNorm2d(16, name="norm1"),
        sg.nn.functional.silu,
        sg.nn.Conv2d(16, 32, 3, padding=1, name="conv2"),
        sg.nn.BatchNorm2d(32, name="norm2"),
        sg.nn.functional.silu,
        sg.nn.AvgPool2d(2),
        sg.nn.Flatten(),
        sg.nn.Linear(512, 10, name="head"),
    )
    loss = sg.nn.functional.cross_entropy(net(x), y)
    logits = net.eval()(x)  # what is exported normalizes by the running statistics, and so does its gradient
    score = logits.amax(-1)
    step = sg.train_step(
        loss,
        sg.optim.adamw(3e-3, weight_decay=1e-2),
        predictions={"score": score, "slope": sg.grad(score.sum(), x), "probabilities": logits.softmax(-1)},
    )
    trainer = sg.Trainer(step)
    trainer.fit({"x": images, "y": labels}, epochs=12, batch_size=50)
    trainer.export_inference(path)


def draw(images: np.ndarray, labels: np.ndarray, slope: np.ndarray, path: str) -> None:
    """One image of each digit, above the gradient of its score: red pixels speak for the answer, blue against it."""
    chosen = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    figure, grid = plt.subplots(2, 10, figsize=(13, 3.2), layout="constrained")
    for (above, below), i in zip(grid.T, chosen, strict=True):
        above.imshow(images[i, 0], cmap="gray_r")
        above.set_title(str(labels[i]))
        limit = np.abs(slope[i]).max()
        shown = below.imshow(slope[i, 0] / limit, cmap="coolwarm", vmin=-1, vmax=1)
        above.axis("off")
        below.axis("off")
    figure.colorbar(shown, ax=grid[1], label="relative gradient")
    figure.suptitle("Test images, and the gradient of the winning score by their pixels")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"The gradients are drawn in {path}.")


if __name__ == "__main__":
    main()
