"""Train a real classifier, track it with ml_dash and with dreamlake, then read everything back and show it.

    make demo                              runs are kept in ./.ml-dash and ./.dreamlake
    python examples/demo.py FOLDER         … in FOLDER/.ml-dash and FOLDER/.dreamlake

The data are the 1,797 handwritten digits that scikit-learn ships; the model is a network of one hidden layer in NumPy.
Start it again, and each run goes on where it ended, from the model file that it saved.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split

import dreamlake
import ml_dash
from dreamlake import Session
from ml_dash import Experiment

PROJECT = "digits"
LEARNING_RATES = {"fast": 1.0, "medium": 0.3, "slow": 0.03}
HIDDEN = 32
BATCH = 64
EPOCHS = 20

console = Console(width=min(80, Console().width), highlight=False)


@dataclass(frozen=True)
class Digits:
    """Images of 8 × 8 pixels from 0 to 1, and which digit each one is."""

    train_images: np.ndarray[Any, Any]
    test_images: np.ndarray[Any, Any]
    train_labels: np.ndarray[Any, Any]
    test_labels: np.ndarray[Any, Any]

    @classmethod
    def load(cls) -> Digits:
        images, labels = load_digits(return_X_y=True)
        return cls(*train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels))


class Classifier:
    """64 pixels → hidden units (tanh) → 10 probabilities (softmax), trained by gradient descent."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.w1, self.b1 = random.normal(0, 1 / 8, (64, HIDDEN)), np.zeros(HIDDEN)
        self.w2, self.b2 = random.normal(0, HIDDEN**-0.5, (HIDDEN, 10)), np.zeros(10)

    def forward(self, images: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        hidden = np.tanh(images @ self.w1 + self.b1)
        scores = hidden @ self.w2 + self.b2
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return hidden, powers / powers.sum(axis=1, keepdims=True)

    def evaluate(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> tuple[float, float]:
        """Loss and accuracy."""
        _, guess = self.forward(images)
        loss = -np.log(guess[np.arange(len(labels)), labels] + 1e-12).mean()
        return float(loss), float((guess.argmax(axis=1) == labels).mean())

    def step(self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], rate: float) -> tuple[float, float]:
        """One step down the gradient of a mini-batch; its loss and accuracy before the step."""
        hidden, guess = self.forward(images)
        loss, accuracy = self.evaluate(images, labels)
        error = (guess - np.eye(10)[labels]) / len(labels)
        below = (error @ self.w2.T) * (1 - hidden**2)
        self.w2 -= rate * hidden.T @ error
        self.b2 -= rate * error.sum(axis=0)
        self.w1 -= rate * images.T @ below
        self.b1 -= rate * below.sum(axis=0)
        return loss, accuracy

    def save(self, path: Path) -> None:
        np.savez(path, w1=self.w1, b1=self.b1, w2=self.w2, b2=self.b2)

    @classmethod
    def load(cls, path: Path) -> Classifier:
        model = cls()
        with np.load(path) as stored:
            model.w1, model.b1, model.w2, model.b2 = (stored[name] for name in ("w1", "b1", "w2", "b2"))
        return model


# ---------------------------------------------------------------- write: the same training through both front doors


def train(name: str, digits: Digits, place: Path, progress: Progress) -> str:
    """One training, tracked as an experiment and as a session; a line that says what came of it."""
    started = time.perf_counter()
    highest = LEARNING_RATES[name]
    with (
        Experiment(name, PROJECT, local_path=place / ".ml-dash", tags=["demo"]).run as experiment,
        Session(name, PROJECT, local_path=place / ".dreamlake", tags=["demo"]) as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        file = Path(folder, "model.npz")
        before = len(experiment.metrics("train/loss"))
        model = resume(experiment, file)

        settings = {"learning_rate": highest, "batch": BATCH, "model": {"hidden": HIDDEN, "activation": "tanh"}}
        experiment.params.set(settings)
        session.parameters().set(settings)

        random = np.random.default_rng(before)
        epoch_steps = len(digits.train_labels) // BATCH
        bar = progress.add_task(name, total=EPOCHS * epoch_steps)
        for step in range(before, before + EPOCHS * epoch_steps):
            rate = highest * (1 + np.cos(np.pi * (step - before) / (EPOCHS * epoch_steps))) / 2
            chosen = random.integers(len(digits.train_labels), size=BATCH)
            loss, accuracy = model.step(digits.train_images[chosen], digits.train_labels[chosen], rate)

            experiment.metrics("train/loss").append(value=loss, step=step)
            experiment.metrics("train/accuracy").append(value=accuracy, step=step)
            experiment.metrics("learning_rate").append(value=rate, step=step)
            session.track("train/loss").append(value=loss, step=step)
            session.track("train/accuracy").append(value=accuracy, step=step)
            session.track("learning_rate").append(value=rate, step=step)

            if (step + 1) % epoch_steps == 0:
                loss, accuracy = model.evaluate(digits.test_images, digits.test_labels)
                epoch = (step + 1) // epoch_steps
                experiment.metrics("test").append(loss=loss, accuracy=accuracy, epoch=epoch, step=step)
                session.track("test").append(loss=loss, accuracy=accuracy, epoch=epoch, step=step)
                experiment.log(f"epoch {epoch} done", level="debug", metadata={"accuracy": accuracy})
                session.log(f"epoch {epoch} done", level="debug", metadata={"accuracy": accuracy})
            progress.advance(bar)

        model.save(file)
        picture = confusion_picture(model, digits)
        for run in (experiment, session):
            run.file(file, prefix="/models", metadata={"accuracy": accuracy}).save()
            run.file(prefix="/pictures").save_fig(picture, "confusion.png", dpi=80)
            run.log("training done", metadata={"accuracy": accuracy, "seconds": time.perf_counter() - started})
    went = f"goes on after step {before - 1:,}" if before else "new"
    return f"[bold]{name:7}[/] {went:24} {EPOCHS * epoch_steps} steps   test accuracy {accuracy:.3f}"


def resume(experiment: Experiment, file: Path) -> Classifier:
    """The model that an earlier run of the demo saved; a new one where there is none."""
    saved = [record for record in experiment.file(prefix="/models").list() if record["filename"] == file.name]
    if not saved:
        return Classifier()
    return Classifier.load(Path(experiment.file(file_id=saved[0]["id"], dest_path=file).download()))


def confusion_picture(model: Classifier, digits: Digits) -> Figure:
    found = model.forward(digits.test_images)[1].argmax(axis=1)
    counts = confusion_matrix(digits.test_labels, found)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="found", ylabel="true", xticks=range(10), yticks=range(10))
    axes.imshow(np.log1p(counts), cmap="Blues")
    for (true, other), count in np.ndenumerate(counts):
        if count:
            axes.text(other, true, str(count), ha="center", va="center", color="white" if count > 20 else "black")
    return figure


# ---------------------------------------------------------------- read: everything comes from the folders


def show_runs(place: Path) -> str:
    """A table of the runs, the best one first; its name."""
    runs = ml_dash.runs(local_path=place / ".ml-dash", project=PROJECT, sort="-metrics.test.accuracy")
    sessions = {run.name: run for run in dreamlake.sessions(local_path=place / ".dreamlake", workspace=PROJECT)}
    heading("What is stored", 'ml_dash.runs(project="digits", sort="-metrics.test.accuracy")')
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("run", style="bold")
    for title in ("rate", "accuracy", "loss", "ml_dash", "dreamlake"):
        table.add_column(title, justify="right")
    table.add_column("status", style="green")
    for run in runs:
        test = run.metrics["test"]
        points, same = sum(run.counts.values()), sum(sessions[run.name].counts.values())
        rate = run.params["learning_rate"]
        numbers = (f"{rate:g}", f"{test['accuracy']:.3f}", f"{test['loss']:.3f}", f"{points:,}", f"{same:,}")
        table.add_row(run.name, *numbers, run.status)
    console.print(table)
    console.print("[dim]accuracy, loss: of the test digits.  ml_dash, dreamlake: points stored by each.[/]")
    return runs[0].name


def show_loss(place: Path, name: str) -> None:
    heading(f"Training loss of {name!r}", f"ml-dash plot {name} train/loss")
    command("plot", name, "train/loss", "--height", "12", "--dir", str(place / ".ml-dash"))
    loss = ml_dash.load(name, PROJECT, local_path=place / ".ml-dash").metrics("train/loss")
    values = loss.columns("value")["value"]
    sample = loss.sample("value", max_points=5)
    console.print(f"mean of the first 50 steps {values[:50].mean():.3f}, of the last 50 {values[-50:].mean():.3f}")
    for start, stop, low, high, where in zip(
        sample.start, sample.stop, sample.min, sample.max, sample.argmax, strict=True
    ):
        console.print(f"steps {start:5,} … {stop - 1:5,}   least {low:.4f}   greatest {high:.4f} at step {where:,}")


def command(*words: str) -> None:
    """Run ``ml-dash`` with these words, whether or not it is on the PATH."""
    sys.stdout.flush()
    width = {"COLUMNS": str(console.width)}
    subprocess.run(
        [sys.executable, "-c", "from ml_dash.cli import main; main()", *words], check=True, env=os.environ | width
    )


def show_log_and_files(place: Path, name: str, digits: Digits) -> None:
    """The last log entries; the files, downloaded with their checksum, and the model put to work."""
    run = ml_dash.load(name, PROJECT, local_path=place / ".ml-dash")
    heading("Log", "run.logs.read(start_index=-3)")
    for entry in run.logs.read(start_index=-3):
        about = ", ".join(f"{key} {value:.3g}" for key, value in entry["metadata"].items())
        console.print(f"{entry['timestamp'][:19]}  {entry['level']:5}  {entry['message']:14}  {about}")

    heading("Files", "run.file().list()")
    with tempfile.TemporaryDirectory() as folder:
        for record in run.file().list():
            copy = run.file(file_id=record["id"], dest_path=folder).download()
            size, checksum = os.path.getsize(copy), record["checksum"][:12]
            console.print(
                f"{record['path']:10} {record['filename']:14} {size:7,} bytes   sha256 {checksum}…  [green]checked[/]"
            )
        model = Classifier.load(Path(folder, "model.npz"))
    accuracy = model.evaluate(digits.test_images, digits.test_labels)[1]
    console.print(f"The downloaded model finds {accuracy:.1%} of the test digits, as was tracked.")


def show_disk(place: Path, name: str) -> None:
    for folder, kind in ((".ml-dash", "metrics"), (".dreamlake", "tracks")):
        path = place / folder / PROJECT / name / kind / "train" / "loss" / "data.jsonl"
        heading("On disk", f"head -n 2 {shown(path)}")
        for line in path.read_text().splitlines()[:2]:
            console.print(line, markup=False, soft_wrap=True)
    heading("Where it all is")
    for folder in (".ml-dash", ".dreamlake"):
        files = [path for path in (place / folder / PROJECT).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        console.print(f"{shown(place / folder / PROJECT)}: {len(files)} files, {size / 1e3:,.0f} kB")


def heading(title: str, call: str = "") -> None:
    console.print()
    console.print(f"[bold cyan]{title}[/]" + (f"  [dim]{call}[/]" if call else ""), soft_wrap=True)


def shown(path: Path) -> str:
    """The path as a user of the current folder would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def main() -> None:
    parser = argparse.ArgumentParser(description="Train, track, read back.")
    parser.add_argument(
        "folder", nargs="?", default=".", type=Path, help="where .ml-dash and .dreamlake go (default: here)"
    )
    place = parser.parse_args().folder.resolve()
    place.mkdir(parents=True, exist_ok=True)

    digits = Digits.load()
    heading("Training", f"{len(digits.train_labels):,} digits to learn, {len(digits.test_labels)} to test")
    bars = (TextColumn("{task.description:8}"), BarColumn(40), MofNCompleteColumn())
    with Progress(*bars, console=console, transient=True, disable=not console.is_terminal) as progress:
        for name in LEARNING_RATES:
            progress.console.print(train(name, digits, place, progress))

    best = show_runs(place)
    show_loss(place, best)
    show_log_and_files(place, best, digits)
    show_disk(place, best)


if __name__ == "__main__":
    main()
