"""PyTorch's "Tensors and autograd" tutorial: a two-layer net on random data, as one exported training step."""

import numpy as np

import staticgrad as sg

N, D_in, H, D_out = 64, 1000, 100, 10
learning_rate = 1e-6


def data(seed: int = 2680) -> dict[str, np.ndarray]:
    """Random inputs, targets and initial weights; the same for every version of this example.

    Near a loss of 1, rounding to float32 alone moves it by about one part in 10,000, more or less by the draw. With
    this one, programs that add in different orders stay within that of each other.
    """
    random = np.random.default_rng(seed)
    shapes = {"x": (N, D_in), "y": (N, D_out), "w1": (D_in, H), "w2": (H, D_out)}
    return {name: random.standard_normal(shape).astype("float32") for name, shape in shapes.items()}


def main() -> list[float]:
    """Declare, derive, export, train; returns the loss of every step."""
    arrays = data()
    x = sg.input("x", ("N", D_in))
    y = sg.input("y", ("N", D_out))
    w1 = sg.parameter("w1", arrays["w1"])
    w2 = sg.parameter("w2", arrays["w2"])

    y_pred = x.mm(w1).clamp(min=0).mm(w2)
    loss = (y_pred - y).pow(2).sum()
    step = sg.train_step(loss, sg.optim.sgd(learning_rate))

    print("The training step that was derived: forward, backward and update in one graph.")
    print(step)
    step.export("two_layer_net.onnx")
    print("It is written to two_layer_net.onnx; any onnxruntime can train with it.\n")

    trainer = sg.Trainer(step, device="auto")
    print(f"500 steps on {trainer.device}; every 100th loss:")
    losses = []
    for t in range(500):
        result = trainer.step(x=arrays["x"], y=arrays["y"])
        losses.append(result)
        if t % 100 == 99:
            print(t, float(result))
    return [float(loss) for loss in losses]


if __name__ == "__main__":
    main()
