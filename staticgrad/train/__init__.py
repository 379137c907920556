"""The training step: loss, gradient and update joined into one graph; optimizers and schedules."""
