"""Newton's method without a Hessian: logistic regression on handwritten digits by Hessian-vector products.

The 650 x 650 Hessian H is never formed. Conjugate gradients solve `H change = -gradient` from products `H v`, which
`sg.hvp` derives as one more graph. Near the minimum each iteration about doubles the number of correct digits, while
gradient descent at its best rate, after as many evaluations, still has a gradient of 1e-3.

Run `python examples/newton.py`: it prints the norm of the gradient by iteration and draws newton.png.
"""

from collections.abc import Callable
from functools import partial

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import staticgrad as sg

Path = list[tuple[int, float]]  # how many gradients it took so far, and the norm of the last
LossAndGradient = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def main() -> tuple[Path, Path]:
    """Minimise by Newton's method and by gradient descent; returns how far each came."""
    images, digits = load_digits(return_X_y=True)
    images = np.pad(images / 16, ((0, 0), (0, 1)), constant_values=1)  # a last pixel of 1, whose weight is the bias

    weights = sg.input("weights", (65, 10), dtype="float64")
    vector = sg.input("vector", (65, 10), dtype="float64")
    cross_entropy = sg.nn.functional.cross_entropy(sg.constant(images) @ weights, sg.constant(digits))
    loss = cross_entropy + 0.5e-3 * weights.square().sum()

    loss_and_gradient = sg.function([loss, sg.grad(loss, weights)], inputs=weights)
    hessian_times = sg.function(sg.hvp(loss, weights, vector), inputs=[weights, vector])
    print("The Hessian-vector product that was derived:")
    print(hessian_times)

    print("\nNewton's method with conjugate gradients:\niteration  products H v  norm of the gradient")
    start = np.zeros((65, 10))
    newton = newton_cg(loss_and_gradient, hessian_times, start)
    budget = newton[-1][0]
    curvature = largest_eigenvalue(hessian_times, start)
    descents = [gradient_descent(loss_and_gradient, start, f / curvature, budget) for f in (0.5, 1, 2, 4, 8)]
    descent = min(descents, key=lambda path: path[-1][1])
    print(f"Gradient descent at the best of five rates, after as many evaluations, {budget}: {descent[-1][1]:.1e}")
    draw({"Newton, conjugate gradients": newton, "gradient descent, best rate": descent}, "newton.png")
    return newton, descent


def newton_cg(
    loss_and_gradient: LossAndGradient, hessian_times: Callable[..., np.ndarray], x: np.ndarray, enough: float = 1e-10
) -> Path:
    """Newton's method; the steps are as exact as the gradient is small (Dembo, Eisenstat and Steihaug 1982)."""
    loss, gradient = loss_and_gradient(x)
    path = [(1, first := float(np.linalg.norm(gradient)))]
    print(f"{0:9}  {'':12}  {first:.1e}")
    while path[-1][1] > enough and len(path) <= 30:
        count, norm = path[-1]
        change, products = conjugate_gradients(partial(hessian_times, x), -gradient, norm * min(0.5, norm / first))
        tries, rate, slope, before = 0, 2.0, np.vdot(gradient, change), loss
        while tries == 0 or loss > before + 1e-4 * rate * slope + 1e-14:  # halve the step until the loss falls
            tries, rate = tries + 1, rate / 2
            loss, gradient = loss_and_gradient(x + rate * change)
        x = x + rate * change
        # A product H v is the gradient of a gradient, and counts as two.
        path.append((count + 2 * products + tries, float(np.linalg.norm(gradient))))
        print(f"{len(path) - 1:9}  {products:12}  {path[-1][1]:.1e}")
    return path


def conjugate_gradients(
    times: Callable[[np.ndarray], np.ndarray], b: np.ndarray, tolerance: float
) -> tuple[np.ndarray, int]:
    """An x with `|times(x) - b| <= tolerance`, for a symmetric positive matrix, and the number of products it took."""
    x, rest, direction, products = np.zeros_like(b), b, b, 0
    while np.linalg.norm(rest) > tolerance and products < b.size:
        product = times(direction)
        length = np.vdot(rest, rest) / np.vdot(direction, product)
        x = x + length * direction
        before, rest = rest, rest - length * product
        direction = rest + np.vdot(rest, rest) / np.vdot(before, before) * direction
        products += 1
    return x, products


def largest_eigenvalue(hessian_times: Callable[..., np.ndarray], x: np.ndarray) -> float:
    """Of the Hessian at x, by the power method."""
    vector = np.random.default_rng(0).standard_normal(x.shape)
    for _ in range(30):
        vector = hessian_times(x, vector / np.linalg.norm(vector))
    return float(np.linalg.norm(vector))


def gradient_descent(loss_and_gradient: LossAndGradient, x: np.ndarray, rate: float, steps: int) -> Path:
    """At a fixed rate."""
    path = []
    for step in range(steps):
        _, gradient = loss_and_gradient(x)
        path.append((step + 1, float(np.linalg.norm(gradient))))
        x = x - rate * gradient
    return path


def draw(paths: dict[str, Path], path: str) -> None:
    """The norm of the gradient against the evaluations it took."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    for (name, points), style in zip(paths.items(), ("o-", "-"), strict=True):
        axes.semilogy(*zip(*points, strict=True), style, label=name)
    axes.set(xlabel="gradients evaluated (a product H v counts as two)", ylabel="norm of the gradient")
    axes.set_title("Logistic regression on 1797 digits, 650 weights")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"The picture is {path}.")


if __name__ == "__main__":
    main()
