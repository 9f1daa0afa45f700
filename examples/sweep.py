"""A search over hyperparameters, tracked: 24 networks learn the handwritten digits that scikit-learn ships.

    python examples/sweep.py               runs are kept in ./.ml-dash, project "digits-sweep"
    ml-dash ui                             … and looked at

It takes about half a minute. Start it again and every run goes on for as many epochs as before.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from typing import Any

import numpy as np
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from ml_dash import Experiment

RUNS = 24
EPOCHS = 15
BATCH = 32
CLASSES = np.arange(10)


def settings_of(number: int) -> dict[str, Any]:
    """The hyperparameters of a run: always the same ones for the same number."""
    chance = random.Random(number)
    return {
        "learning_rate": float(f"{10 ** chance.uniform(-3.7, -1.3):.2e}"),
        "optimizer": chance.choice(["adam", "sgd"]),
        "model": {"hidden": chance.choice([16, 32, 64, 128]), "activation": chance.choice(["relu", "tanh"])},
        "weight_decay": chance.choice([0.0, 1e-4, 1e-2]),
        "seed": number,
    }


def train(
    number: int, images: list[np.ndarray[Any, Any]], labels: list[np.ndarray[Any, Any]], place: str | None
) -> str:
    """One run; a line that says what came of it."""
    settings = settings_of(number)
    model = MLPClassifier(
        (settings["model"]["hidden"],),
        activation=settings["model"]["activation"],
        solver=settings["optimizer"],
        alpha=settings["weight_decay"],
        learning_rate_init=settings["learning_rate"],
        batch_size=BATCH,
        random_state=number,
    )
    name = f"{settings['optimizer']}-{settings['model']['hidden']}-{number:02d}"
    tags = ["sweep", settings["optimizer"]]
    with Experiment(name, "digits-sweep", local_path=place, tags=tags).run as experiment:
        experiment.params.set(settings)
        order = np.random.default_rng(number)
        step = len(experiment.metrics("train/loss"))
        accuracy = 0.0
        for epoch in range(EPOCHS):
            mixed = order.permutation(len(labels[0]))
            for at in range(0, len(mixed) - BATCH, BATCH):
                began = time.perf_counter()
                chosen = mixed[at : at + BATCH]
                before = [weights.copy() for weights in model.coefs_] if step and hasattr(model, "coefs_") else None
                model.partial_fit(images[0][chosen], labels[0][chosen], classes=CLASSES)
                moved = (
                    sum(float(((a - b) ** 2).sum()) for a, b in zip(model.coefs_, before, strict=True))
                    if before
                    else 0.0
                )
                experiment.metrics("train/loss").append(value=float(model.loss_), step=step, epoch=epoch)
                experiment.metrics("weights/update_norm").append(value=moved**0.5, step=step, epoch=epoch)
                experiment.metrics("time/step_ms").append(value=(time.perf_counter() - began) * 1e3, step=step)
                step += 1
            accuracy = float(model.score(images[1], labels[1]))
            loss = float(log_loss(labels[1], model.predict_proba(images[1]), labels=CLASSES))
            experiment.metrics("test/accuracy").append(value=accuracy, step=step, epoch=epoch)
            experiment.metrics("test/loss").append(value=loss, step=step, epoch=epoch)
            norm = float(np.sqrt(sum((weights**2).sum() for weights in model.coefs_)))
            experiment.metrics("weights/norm").append(value=norm, step=step, epoch=epoch)
            experiment.log(f"epoch {epoch}: test accuracy {accuracy:.3f}", level="info" if accuracy > 0.5 else "warn")
    return f"{name:12} lr {settings['learning_rate']:<8g} test accuracy {accuracy:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="where runs are kept (default: as everywhere, .ml-dash)")
    parser.add_argument("--runs", type=int, default=RUNS)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="sklearn")
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    console = Console(highlight=False)
    for number in range(asked.runs):
        console.print(train(number, split[:2], split[2:], asked.folder))
    console.print("\nLook at them: [bold]ml-dash ui[/]" + (f" {asked.folder}" if asked.folder else ""))


if __name__ == "__main__":
    main()
