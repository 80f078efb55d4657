"""Trains a convolutional classifier of handwritten digits in Keras's manner.

    python examples/keras_classifier.py [--epochs 40] [--out FOLDER]

Layers, `compile`, `fit` with validation data and callbacks, `evaluate`, `predict`. The folder gets
the best weights, the numbers of each epoch as CSV and for TensorBoard, a page that shows the curves
while training goes on, and a picture of them.
"""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time

import numpy as np

import dlc
from dlc import callbacks, nn
from dlc.data import loaders

SEED = 1
GOAL = 98.0  # per cent of the held-out digits


def new_model():
    """Images f32[b,8,8,1] to likelihoods f32[b,10]."""
    dlc.random.seed(SEED)
    model = nn.Sequential(
        nn.Conv2D(32, 3, padding="same", activation="relu"),
        nn.BatchNormalization(momentum=0.9),
        nn.Conv2D(32, 3, padding="same", activation="relu"),
        nn.MaxPooling2D(),
        nn.Dropout(0.2),
        nn.Conv2D(64, 3, padding="same", activation="relu"),
        nn.BatchNormalization(momentum=0.9),
        nn.MaxPooling2D(),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Dense(10, activation="softmax"),
    )
    model.compile(
        optimizer=dlc.optim.Adam(learning_rate=2e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def load_data():
    """Images f32[n,8,8,1] and labels of training, validation and test."""
    (x, y), (x_test, y_test) = loaders.digits()
    x, x_test = x[..., None], x_test[..., None]
    return (x[:-200], y[:-200]), (x[-200:], y[-200:]), (x_test, y_test)


def watchers(out):
    """What looks on while the model learns."""
    return [
        callbacks.EarlyStopping("val_loss", patience=8, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=3),
        callbacks.ModelCheckpoint(
            out / "best.safetensors", monitor="val_loss", save_best_only=True,
            save_weights_only=True,
        ),
        callbacks.CSVLogger(out / "epochs.csv"),
        callbacks.TensorBoard(out / "tensorboard"),
        callbacks.LivePage(out / "run.html"),
    ]  # fmt: skip


def train(out, epochs, verbose=2):
    """Trains; returns the model, and its loss and accuracy on the held-out digits."""
    out.mkdir(parents=True, exist_ok=True)
    (x, y), validation, (x_test, y_test) = load_data()
    model = new_model()
    model.fit(
        x, y, batch_size=32, epochs=epochs, validation_data=validation, callbacks=watchers(out),
        verbose=verbose,
    )  # fmt: skip
    model.history.plot(out / "history.png")
    return model, model.evaluate(x_test, y_test, verbose=0)


def main():
    """Trains, tests, and looks at what was written."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    start = time.perf_counter()
    out = options.out or pathlib.Path(tempfile.mkdtemp(prefix="dlc-classifier-"))
    model, (_, accuracy) = train(out, options.epochs)
    model.summary("f32[1,8,8,1]")
    (x_test, y_test) = load_data()[2]
    wrong = np.flatnonzero(model.predict(x_test).argmax(1) != y_test)
    print(f"written to {out}: " + ", ".join(sorted(p.name for p in out.iterdir())))
    print(
        f"test accuracy: {100 * accuracy:.2f} % of {len(y_test)} held-out digits, {len(wrong)} "
        f"wrong; goal {GOAL} %; {time.perf_counter() - start:.1f} s in all"
    )


if __name__ == "__main__":
    main()
