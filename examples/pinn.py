"""A network that solves the heat equation by knowing nothing but the equation: second derivatives inside the loss.

u_t = a u_xx for 0 < x < 1 and 0 < t < 1, with u = 0 at both ends and u(x, 0) = sin(pi x). The network sees no
solution, only how far it is from obeying the equation at random points; `sg.grad` of `sg.grad` gives u_xx, and the
training step differentiates that once more, by the weights. All of it becomes one ONNX graph.

Run `python examples/pinn.py`: it prints the error against the exact solution and draws pinn.png.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import staticgrad as sg

A = 0.2  # how fast heat spreads
STEPS, POINTS = 5000, 256


def main() -> float:
    """Train, compare and draw; returns the relative error in the L2 norm."""
    x = sg.input("x", ("N", 1))
    t = sg.input("t", ("N", 1))
    network = sg.nn.Sequential(
        sg.nn.Linear(2, 32, name="layer1"),
        sg.tanh,
        sg.nn.Linear(32, 32, name="layer2"),
        sg.tanh,
        sg.nn.Linear(32, 1, name="layer3"),
    )
    # Whatever the network says, this holds at both ends and at the start.
    u = sg.sin(np.pi * x) + t * x * (1 - x) * network(sg.cat([x, t], dim=1))

    u_x, u_t = sg.grad(u.sum(), [x, t])  # every point has its own u: the gradient of the sum holds all derivatives
    u_xx = sg.grad(u_x.sum(), x)
    loss = (u_t - A * u_xx).square().mean()

    rate = sg.optim.cosine_decay_schedule(5e-3, STEPS)
    step = sg.train_step(loss, sg.optim.adam(rate), predictions={"u": u})
    trainer = sg.Trainer(step)
    print(f"A training step of {len(step.model().graph.node)} operators; {STEPS} steps on {trainer.device}.")

    random = np.random.default_rng(0)
    progress = tqdm(range(STEPS), ncols=80)
    for number in progress:
        points = random.random((2, POINTS, 1), dtype="float32")
        result = trainer.step(x=points[0], t=points[1])
        if number % 100 == 99:
            progress.set_postfix(loss=f"{float(result):.1e}")

    times, places = np.meshgrid(*2 * [np.linspace(0, 1, 101, dtype="float32")], indexing="ij")
    solution = trainer.predict(x=places.reshape(-1, 1), t=times.reshape(-1, 1))["u"].reshape(times.shape)
    exact = np.exp(-A * np.pi**2 * times) * np.sin(np.pi * places)
    error = float(np.linalg.norm(solution - exact) / np.linalg.norm(exact))
    print(f"Relative error against the exact solution: {error:.4%}")
    draw(solution, exact, "pinn.png")
    return error


def draw(solution: np.ndarray, exact: np.ndarray, path: str) -> None:
    """Both solutions, and their difference on a scale of its own."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True, layout="constrained")
    place = {"origin": "lower", "extent": (0, 1, 0, 1)}
    axes[0].imshow(solution.T, **place, vmin=0, vmax=1)
    image = axes[1].imshow(exact.T, **place, vmin=0, vmax=1)
    figure.colorbar(image, ax=axes[:2], label="temperature u")
    error = solution.T - exact.T
    image = axes[2].imshow(error, **place, cmap="RdBu_r", vmin=-abs(error).max(), vmax=abs(error).max())
    figure.colorbar(image, ax=axes[2], label="difference in u")
    for panel, title in zip(axes, ("network", "exact solution", "network minus exact"), strict=True):
        panel.set(title=title, xlabel="time t")
    axes[0].set_ylabel("place x")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"The picture is {path}.")


if __name__ == "__main__":
    main()
