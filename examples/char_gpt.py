"""A small GPT that learns to write like Python's own documentation, a character at a time, on two CPU cores."""

import time
from pydoc_data.topics import topics

import numpy as np
import onnxruntime
from tqdm import tqdm

import staticgrad as sg
from staticgrad.nn import functional as F

LAYERS, WIDTH, HEADS, CONTEXT = 4, 128, 4, 64
BATCH, STEPS = 16, 700


class Attention(sg.nn.Module):
    """Every character looks back at those before it."""

    def __init__(self, name: str) -> None:
        self.queries_keys_values = sg.nn.Linear(WIDTH, 3 * WIDTH, name=f"{name}/qkv")
        self.out = sg.nn.Linear(WIDTH, WIDTH, name=f"{name}/out")

    def forward(self, x: sg.Value) -> sg.Value:
        """(N, T, WIDTH) -> (N, T, WIDTH)."""
        split = self.queries_keys_values(x).unflatten(-1, (3, HEADS, WIDTH // HEADS))
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(sg.nn.Module):
    """Attention, then a perceptron for each character, each added to what comes in."""

    def __init__(self, name: str) -> None:
        self.norm1 = sg.nn.LayerNorm(WIDTH, name=f"{name}/norm1")
        self.attention = Attention(f"{name}/attention")
        self.norm2 = sg.nn.LayerNorm(WIDTH, name=f"{name}/norm2")
        self.widen = sg.nn.Linear(WIDTH, 4 * WIDTH, name=f"{name}/widen")
        self.narrow = sg.nn.Linear(4 * WIDTH, WIDTH, name=f"{name}/narrow")

    def forward(self, x: sg.Value) -> sg.Value:
        """(N, T, WIDTH) -> (N, T, WIDTH)."""
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(F.gelu(self.widen(self.norm2(x)), approximate="tanh"))


class GPT(sg.nn.Module):
    """Characters so far -> logits of the next one, at every position."""

    def __init__(self, characters: int) -> None:
        self.characters = sg.parameter("characters", sg.init.normal((characters, WIDTH), std=0.2))
        self.positions = sg.parameter("positions", sg.init.normal((CONTEXT, WIDTH), std=0.2))
        self.blocks = [Block(f"block{i}") for i in range(LAYERS)]
        self.norm = sg.nn.LayerNorm(WIDTH, name="norm")
        self.head = sg.nn.Linear(WIDTH, characters, name="head")

    def forward(self, x: sg.Value) -> sg.Value:
        """(N, CONTEXT) of ints -> (N, CONTEXT, characters)."""
        x = F.embedding(x, self.characters) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def main() -> float:
    """Train, export, re-run and sample; returns the loss in nats a character on text never trained on."""
    names = sorted(topics)
    alphabet = sorted(set("\n".join(topics.values())))
    train, held_out = (
        np.searchsorted(alphabet, list("\n".join(topics[name] for name in chosen)))
        for chosen in ([n for n in names if n not in names[::20]], names[::20])
    )
    print(f"{len(train):,} characters of documentation to learn from, {len(held_out):,} to test on.")

    x = sg.input("x", ("N", CONTEXT), dtype="int64")
    y = sg.input("y", ("N", CONTEXT), dtype="int64")
    model = GPT(len(alphabet))
    logits = model(x)
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    rate = sg.optim.warmup_cosine_decay_schedule(0.0, 3e-3, 50, STEPS, 1e-4)
    optimizer = sg.optim.chain(sg.optim.clip_by_global_norm(1.0), sg.optim.adamw(rate, b2=0.99, weight_decay=0.01))
    start = time.perf_counter()
    step = sg.train_step(loss, optimizer, predictions={"logits": logits})
    trainer = sg.Trainer(step)
    print(f"{len(step.graph.operators)} operators, built and loaded in {time.perf_counter() - start:.1f} s.")
    random = np.random.default_rng(0)

    start = time.perf_counter()
    progress = tqdm(range(STEPS), desc="steps", ncols=80)
    for i in progress:
        result = trainer.step(batch_of(train, random))
        if i % 20 == 0:
            progress.set_postfix(loss=f"{float(result):.3f}")
    seconds = time.perf_counter() - start
    windows = held_out[: len(held_out) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
    score = trainer.evaluate({"x": windows[:, :-1], "y": windows[:, 1:]}, batch_size=64)["loss"]
    print(f"{STEPS} steps in {seconds:.0f} s; loss on held-out text: {score:.3f} nats a character.")

    step.export("char_gpt_step.onnx")
    batch = batch_of(train, random)
    again = step_alone("char_gpt_step.onnx", trainer.state(), batch)
    here = float(trainer.step(batch))
    print(f"char_gpt_step.onnx, in onnxruntime alone: loss {again:.4f}; in the trainer: {here:.4f}")
    trainer.export_inference("char_gpt.onnx")
    written = write("char_gpt.onnx", held_out[:CONTEXT], 300, random)
    print("After", repr("".join(alphabet[i] for i in held_out[:CONTEXT])), "it writes:")
    print("".join(alphabet[i] for i in written))
    return score


def batch_of(codes: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random windows of the text, and the same windows a character later."""
    starts = random.integers(len(codes) - CONTEXT, size=(BATCH, 1))
    return {"x": codes[starts + np.arange(CONTEXT)], "y": codes[starts + np.arange(1, CONTEXT + 1)]}


def step_alone(path: str, state: dict[str, np.ndarray], batch: dict[str, np.ndarray]) -> float:
    """The loss of one training step of an exported file, with nothing but onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (loss,) = session.run(["loss"], {**batch, **state})
    return float(loss)


def write(path: str, start: np.ndarray, count: int, random: np.random.Generator) -> list[int]:
    """Characters drawn one by one from the probabilities of an exported model."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    codes = [int(i) for i in start]
    for _ in range(count):
        (logits,) = session.run(["logits"], {"x": np.array([codes[-CONTEXT:]])})
        weights = np.exp((logits[0, -1] - logits[0, -1].max()) / 0.7)
        codes.append(int(random.choice(len(weights), p=weights / weights.sum())))
    return codes[len(start) :]


if __name__ == "__main__":
    main()
