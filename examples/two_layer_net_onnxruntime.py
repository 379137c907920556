"""Train from two_layer_net.onnx with numpy and onnxruntime alone; run two_layer_net.py first to write the file."""

import json
import sys

import numpy as np
import onnxruntime


def main(path: str = "two_layer_net.onnx") -> list[float]:
    """Feed, run, feed `S.next` back as `S`; returns the loss of every step."""
    available = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=providers)
    feedback = json.loads(session.get_modelmeta().custom_metadata_map["staticgrad.state"])

    # The same random numbers as in two_layer_net.py.
    random = np.random.default_rng(2680)
    shapes = {"x": (64, 1000), "y": (64, 10), "w1": (1000, 100), "w2": (100, 10)}
    feeds = {name: random.standard_normal(shape).astype("float32") for name, shape in shapes.items()}

    names = [output.name for output in session.get_outputs()]
    print(f"Inputs {list(feeds)}, outputs {names}; every 100th loss of 500 steps:")
    losses = []
    for t in range(500):
        results = dict(zip(names, session.run(names, feeds), strict=True))
        losses.append(float(results["loss"]))
        for state, following in feedback.items():
            feeds[state] = results[following]
        if t % 100 == 99:
            print(t, losses[-1])
    return losses


if __name__ == "__main__":
    main(*sys.argv[1:])
