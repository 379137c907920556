"""PyTorch's "Tensors and autograd" tutorial on the eager reference: the same lines, on numpy."""

from two_layer_net import data, learning_rate

from staticgrad import eager


def main() -> list[float]:
    """Train as the tutorial does, then again with an optimizer; returns the loss of every step."""
    arrays = data()
    x = eager.tensor(arrays["x"])
    y = eager.tensor(arrays["y"])
    w1 = eager.tensor(arrays["w1"], requires_grad=True)
    w2 = eager.tensor(arrays["w2"], requires_grad=True)

    print("The tutorial's own loop, on eager tensors; every 100th loss:")
    losses = []
    for t in range(500):
        y_pred = x.mm(w1).clamp(min=0).mm(w2)
        loss = (y_pred - y).pow(2).sum()
        losses.append(loss.item())
        if t % 100 == 99:
            print(t, loss.item())

        loss.backward()
        with eager.no_grad():
            w1 -= learning_rate * w1.grad
            w2 -= learning_rate * w2.grad
            w1.grad.zero_()
            w2.grad.zero_()
    return losses


def with_optimizer() -> list[float]:
    """The same training with `eager.optim.SGD` in place of the update by hand."""
    arrays = data()
    x, y = eager.tensor(arrays["x"]), eager.tensor(arrays["y"])
    w1, w2 = (eager.tensor(arrays[name], requires_grad=True) for name in ("w1", "w2"))
    optimizer = eager.optim.SGD([w1, w2], lr=learning_rate)

    print("The same with eager.optim.SGD:")
    losses = []
    for t in range(500):
        loss = (x.mm(w1).clamp(min=0).mm(w2) - y).pow(2).sum()
        losses.append(loss.item())
        if t % 100 == 99:
            print(t, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


if __name__ == "__main__":
    main()
    with_optimizer()
