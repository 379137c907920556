"""Fine-tune a model from its .onnx file alone: a net that reads the digits 0 to 4 learns 5 to 9 with a new head."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import staticgrad as sg

BATCH = 32
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> tuple[float, float]:
    """Pretrain, export, fine-tune, export, draw; returns the accuracy on new digits before and after."""
    pretrain("digits_0_to_4.onnx", digits(range(5)))
    before, after = finetune("digits_0_to_4.onnx", "digits_5_to_9.onnx", digits(range(5, 10)))
    return before, after


def pretrain(path: str, data: Split) -> None:
    """Train a small convolutional net that is declared here, and export it for inference."""
    train_x, test_x, train_y, test_y = data
    x = sg.input("x", ("N", 1, 8, 8))
    y = sg.input("y", ("N",), dtype="int64")
    features = sg.nn.Sequential(
        sg.nn.Conv2d(1, 16, 3, padding=1, bias=False, name="conv1"),
        sg.nn.BatchNorm2d(16, name="norm1"),
        sg.relu,
        sg.nn.Conv2d(16, 32, 3, padding=1, bias=False, name="conv2"),
        sg.nn.BatchNorm2d(32, name="norm2"),
        sg.relu,
        sg.nn.MaxPool2d(2),
        sg.nn.Flatten(),
    )(x)
    logits = sg.nn.Linear(32 * 4 * 4, 5, name="head")(features)
    step = sg.train_step(
        sg.nn.functional.cross_entropy(logits, y),
        sg.optim.adam(2e-3),
        metrics={"accuracy": (logits.argmax(-1) == y).float().mean()},
        predictions={"features": features, "logits": logits},
    )
    trainer = sg.Trainer(step)
    trainer.fit({"x": train_x, "y": train_y}, epochs=8, batch_size=BATCH)
    held_out = trainer.evaluate({"x": test_x, "y": test_y})
    print(f"{path}: trained on {len(train_x)} images of 0 to 4, accuracy on held-out ones {held_out['accuracy']:.2%}")
    trainer.export_inference(path)


def finetune(path: str, result: str, data: Split) -> tuple[float, float]:
    """Teach a model other digits: all that is known of it stands in its file."""
    train_x, test_x, train_y, test_y = data
    model = sg.from_onnx(path)
    print(f"{path} has the parameters {', '.join(model.parameters)}")

    def head(features: sg.Value) -> sg.Value:
        # From zeros it starts without an opinion.
        weight = sg.parameter("new_head/weight", sg.init.zeros((32 * 4 * 4, 5)))
        return features @ weight + sg.parameter("new_head/bias", sg.init.zeros((5,)))

    model = model.replace_output("logits", head, at="features")
    step = sg.train_step_model(
        model,
        "cross_entropy",
        sg.optim.adam(2e-3),
        freeze="conv*",
        output="logits",
        training=True,  # the normalizations learn the statistics of the new images
        metrics={"accuracy": lambda features, logits, target: (logits.argmax(-1) == target).float().mean()},
    )
    print(f"Frozen: conv1/weight, conv2/weight. Trained: {', '.join(step.parameters)}")
    trainer = sg.Trainer(step)
    train, test = {"x": train_x, "target": train_y}, {"x": test_x, "target": test_y}
    accuracies = [trainer.evaluate(test)["accuracy"]]
    trainer.fit(
        train,
        epochs=10,
        batch_size=BATCH,
        callback=lambda epoch, means: accuracies.append(trainer.evaluate(test)["accuracy"]),
    )
    print(f"Accuracy on {len(test_x)} held-out images of 5 to 9 before: {accuracies[0]:.2%}")
    print(f"Accuracy on {len(test_x)} held-out images of 5 to 9 after: {accuracies[-1]:.2%}")

    trainer.export_inference(result)
    session = onnxruntime.InferenceSession(result, providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"x": test_x})
    guesses = logits.argmax(-1)
    print(f"{result}, in onnxruntime alone: accuracy {(guesses == test_y).mean():.2%}")
    draw(accuracies, test_x, test_y, logits, "finetune_onnx.png")
    return accuracies[0], accuracies[-1]


def digits(which: range) -> Split:
    """Images (N, 1, 8, 8) in [0, 1] of some digits, and their classes from 0 on: three quarters to train on."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, which)
    images = (images[chosen] / 16).astype("float32").reshape(-1, 1, 8, 8)
    classes = labels[chosen].astype("int64") - which[0]
    return tuple(train_test_split(images, classes, test_size=0.25, random_state=0, stratify=classes))


def draw(accuracies: list[float], images: np.ndarray, classes: np.ndarray, logits: np.ndarray, path: str) -> None:
    """The accuracy on held-out images over the epochs, and the images that the model is least sure of."""
    guesses = logits.argmax(-1)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    confidence = (odds / odds.sum(-1, keepdims=True))[np.arange(len(classes)), classes]
    figure = plt.figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.plot(100 * np.array(accuracies), marker="o")
    axes.axhline(20, color="gray", linestyle="--", label="chance")
    axes.set(xlabel="epoch", ylabel="accuracy on held-out images, %", ylim=(0, 102), title="5 to 9, a new head")
    axes.legend(loc="lower right")
    for axes, i in zip(right.subplots(2, 4).flat, np.argsort(confidence), strict=False):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.set_title(
            f"{classes[i] + 5}, read as {guesses[i] + 5}\np({classes[i] + 5}) = {confidence[i]:.2f}", fontsize=9
        )
        axes.title.set_color("firebrick" if guesses[i] != classes[i] else "black")
        axes.axis("off")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"{Path(path).name} is drawn.")


if __name__ == "__main__":
    main()
