"""A network learns the forces between atoms, and its file moves them: gradients in the loss and in the file.

The energy is a sum over atoms of a network of how many neighbours there are at which distance (Behler and Parrinello
2007); the forces are minus its gradient, so a training step that fits forces holds a gradient of a gradient. The
exported forces.onnx gives energy and forces of any number of atoms, and a simulation runs on it by onnxruntime alone.
Lengths are in units of a pair's best distance, energies of the depth of its well, masses of an atom's.

Run `python examples/forces.py`: it prints the errors and the drift of the total energy, and draws forces.png.
"""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import staticgrad as sg

STEPS, BATCH, SIZES = 4000, 32, (8, 9, 11, 12, 13)
GOLDEN = (1 + 5**0.5) / 2
CORNERS = [np.roll((0, a, b * GOLDEN), k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
ICOSAHEDRON = 0.507 * np.array([(0, 0, 0), *CORNERS])  # how 13 atoms lie best: one in the middle, twelve around it


def main() -> float:
    """Learn, export, simulate, draw; returns the drift of the total energy relative to the mean kinetic energy."""
    positions = sg.input("positions", ("clusters", "atoms", 3))
    true_energy = sg.input("true_energy", ("clusters",))
    true_forces = sg.input("true_forces", ("clusters", "atoms", 3))
    energy = energy_model(positions)
    forces = -sg.grad(energy.sum(), positions)
    loss = (forces - true_forces).square().mean() + 0.1 * (energy - true_energy).square().mean()
    rate = sg.optim.cosine_decay_schedule(1e-2, STEPS)
    optimizer = sg.optim.chain(sg.optim.clip_by_global_norm(10.0), sg.optim.adam(rate))
    trainer = sg.Trainer(sg.train_step(loss, optimizer, predictions={"energy": energy, "forces": forces}))

    random = np.random.default_rng(0)
    data = {atoms: (clusters := shaken(atoms, 3000, random), *lennard_jones(clusters)) for atoms in SIZES}
    progress = tqdm(range(STEPS), ncols=80)
    for number in progress:
        chosen = random.integers(3000, size=BATCH)
        batch = [array[chosen] for array in data[random.choice(SIZES)]]
        result = trainer.step(positions=batch[0], true_energy=batch[1], true_forces=batch[2])
        if number % 100 == 99:
            progress.set_postfix(loss=f"{float(result):.3f}")
    trainer.export_inference("forces.onnx")

    for atoms in (13, 10, 7):
        clusters = shaken(atoms, 300, random)
        _, expected = lennard_jones(clusters)
        found = trainer.predict(positions=clusters)["forces"]
        error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
        seen = "as" if atoms in SIZES else "never"
        print(f"{atoms} atoms, {seen} in training: relative error of the forces on new clusters {error:.1%}")

    velocities = 0.4 * random.standard_normal((13, 3))
    trajectory = simulate("forces.onnx", ICOSAHEDRON, velocities - velocities.mean(0), 0.002, 2000)
    total = trajectory["kinetic"] + trajectory["potential"]
    drift = float(abs(total - total[0]).max() / trajectory["kinetic"].mean())
    print(f"2000 steps of molecular dynamics: the total energy keeps within {drift:.1e} of the mean kinetic energy")
    draw(trajectory, "forces.png")
    return drift


def energy_model(positions: sg.Value) -> sg.Value:
    """The energies of clusters (clusters, atoms, 3), the same for atoms in any order, in any place, turned any way."""
    squares = (positions[:, :, None] - positions[:, None]).square().sum(-1)
    # Bells over the squared distance: smooth even at 0, and an atom that counts itself adds a constant.
    centres = np.linspace(0.6, 3.0, 16, dtype="float32")
    counts = sg.exp(-((squares[..., None] - centres).square()) / (2 * 0.16**2)).sum(2)
    network = sg.nn.Sequential(
        sg.nn.Linear(16, 32, name="layer1"),
        sg.tanh,
        sg.nn.Linear(32, 32, name="layer2"),
        sg.tanh,
        sg.nn.Linear(32, 1, name="layer3"),
    )
    return network(counts).sum((1, 2))


def lennard_jones(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The true energies and forces: `r^-12 - 2 r^-6` for each pair, and minus its derivative, by hand."""
    between = positions[:, :, None] - positions[:, None]
    squares = (between**2).sum(-1)
    squares[:, *np.diag_indices(positions.shape[1])] = np.inf  # no atom acts on itself
    sixth = squares**-3
    pulls = 12 * (sixth**2 - sixth) / squares
    return (sixth**2 - 2 * sixth).sum((1, 2)) / 2, (pulls[..., None] * between).sum(2)


def shaken(atoms: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Pieces of the icosahedron, stretched and shaken; none with atoms pressed hard into each other."""
    kept = np.argsort(random.random((4 * count, 13)))[:, :atoms]
    scale, noise = random.uniform([[0.97], [0.01]], [[1.04], [0.06]], (2, 4 * count))[..., None, None]
    clusters = (scale * ICOSAHEDRON[kept] + noise * random.standard_normal((4 * count, atoms, 3))).astype("float32")
    _, forces = lennard_jones(clusters)
    return clusters[abs(forces).max((1, 2)) < 40][:count]


def simulate(path: str, positions: np.ndarray, velocities: np.ndarray, interval: float, steps: int) -> dict:
    """Molecular dynamics by velocity Verlet: all it needs is the file, numpy and onnxruntime."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(positions: np.ndarray) -> tuple[float, np.ndarray]:
        energy, forces = session.run(["energy", "forces"], {"positions": positions[None].astype("float32")})
        return float(energy[0]), forces[0]

    potential, forces = run(positions)
    frames = []
    for step in range(steps + 1):
        frames.append((interval * step, potential, (velocities**2).sum() / 2, positions))
        velocities = velocities + interval / 2 * forces
        positions = positions + interval * velocities
        potential, forces = run(positions)
        velocities = velocities + interval / 2 * forces
    columns = map(np.array, zip(*frames, strict=True))
    return dict(zip(("time", "potential", "kinetic", "positions"), columns, strict=True))


def draw(trajectory: dict[str, np.ndarray], path: str) -> None:
    """The energies against time, and how far the total is from constant."""
    time, potential, kinetic, positions = trajectory.values()
    true_potential, _ = lennard_jones(positions)
    total = kinetic + potential
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(time, total - potential[0], label="total")
    left.plot(time, kinetic, label="kinetic")
    left.plot(time, potential - potential[0], label="potential, by the network")
    left.plot(time, true_potential - true_potential[0], "k:", linewidth=1, label="potential, Lennard-Jones")
    left.set(title="13 atoms, moved by forces.onnx", xlabel="time", ylabel="energy above the cluster at rest")
    left.set_ylim(0, 1.45 * total[0] - 1.45 * potential[0])
    left.legend(ncols=2)
    right.plot(time, (total - total[0]) / kinetic.mean())
    right.ticklabel_format(axis="y", scilimits=(0, 0))
    right.set(title="Change of the total energy", xlabel="time", ylabel="relative to the mean kinetic energy")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"The picture is {path}.")


if __name__ == "__main__":
    main()
