"""Small models, trained for some steps on a device, which are compared between devices."""

import numpy as np

import dlc

F = dlc.nn.functional


class Block(dlc.nn.Module):
    """A block of a transformer: attention, and layers at each place."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.before, self.between = dlc.nn.LayerNorm(width), dlc.nn.LayerNorm(width)
        self.projected = dlc.nn.Linear(width, 3 * width)
        self.joined, self.out = dlc.nn.Linear(width, width), dlc.nn.Linear(width, width)
        self.drop = dlc.nn.Dropout(0.1)

    def forward(self, x):
        b, t, width = x.shape
        parts = dlc.split(self.projected(self.before(x)), 3, axis=-1)
        q, k, v = (
            dlc.permute_dims(p.reshape(b, t, self.heads, width // self.heads), (0, 2, 1, 3))
            for p in parts
        )
        a = dlc.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.joined(dlc.permute_dims(a, (0, 2, 1, 3)).reshape(b, t, width)))
        return x + dlc.gelu(self.out(self.between(x)))


class Language(dlc.nn.Module):
    """Predicts the next of some symbols."""

    def __init__(self, symbols=11, width=8):
        super().__init__()
        self.embedding, self.block = dlc.nn.Embedding(symbols, width), Block(width, 2)
        self.head = dlc.nn.Linear(width, symbols)

    def forward(self, x):
        return self.head(self.block(self.embedding(x)))


def _trained(model, x, y, loss_of, device, steps, cast=None, scaler=None):
    model(x)
    model.to(device)
    x, y = dlc.asarray(x, device=device), dlc.asarray(y, device=device)
    optimizer = dlc.optim.AdamW(model.parameters(), lr=0.01)

    @dlc.compile
    def step(x, y):
        with dlc.autocast("cuda", cast or dlc.bfloat16, enabled=cast is not None):
            loss = loss_of(model(x), y)
        optimizer.zero_grad()
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return loss

    losses = [step(x, y).item() for _ in range(steps)]
    assert {p.device for p in model.parameters()} == {dlc.asarray(1.0, device=device).device}
    return losses


def language(device, steps=2):
    """A transformer with dropout, whose random bits are the same on every device."""
    dlc.random.seed(1)
    ids = np.random.default_rng(0).integers(0, 11, (2, 5))

    def loss_of(scores, y):
        return F.cross_entropy(scores.reshape(-1, 11), y.reshape(-1))

    return _trained(Language(), ids, ids[:, ::-1].copy(), loss_of, device, steps)


def convolution(device, steps=2):
    """Convolutions, normalisation of batches, pooling."""
    dlc.random.seed(2)
    model = dlc.nn.Sequential(
        dlc.nn.Conv2d(2, 3, 3, padding=1),
        dlc.nn.BatchNorm2d(3),
        dlc.nn.ReLU(),
        dlc.nn.MaxPool2d(2),
        dlc.nn.Flatten(),
        dlc.nn.Linear(12, 4),
    )
    x = np.random.default_rng(0).standard_normal((2, 2, 4, 4)).astype(np.float32)
    return _trained(model, x, np.array([1, 3]), F.cross_entropy, device, steps)


def recurrence(device, steps=2):
    """A loop over time, forwards and backwards."""
    dlc.random.seed(3)
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)

    def loss_of(result, y):
        return dlc.mean((result[0] - y) ** 2)

    return _trained(dlc.nn.LSTM(3, 5), x, np.ones((4, 2, 5), np.float32), loss_of, device, steps)


def mixed(device, steps=3):
    """Products of bfloat16, weights of float32."""
    dlc.random.seed(4)
    model = dlc.nn.Sequential(dlc.nn.Linear(6, 8), dlc.nn.ReLU(), dlc.nn.Linear(8, 2))
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((4, n)).astype(np.float32) for n in (6, 2))

    def loss_of(result, y):
        return dlc.mean((result - y) ** 2)

    return _trained(model, x, y, loss_of, device, steps, dlc.bfloat16)


def scaled(device, steps=4):
    """Products of float16 and a loss that is scaled: too much at first, so that a step is left out.

    The scale afterwards is the last of what is returned.
    """
    dlc.random.seed(4)
    model = dlc.nn.Sequential(dlc.nn.Linear(6, 8), dlc.nn.ReLU(), dlc.nn.Linear(8, 2))
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((4, n)).astype(np.float32) for n in (6, 2))

    def loss_of(result, y):
        return dlc.mean((result - y) ** 2)

    scaler = dlc.optim.LossScaler(2.0**20, growth_interval=2)
    losses = _trained(model, x, y, loss_of, device, steps, dlc.float16, scaler)
    return [*losses, scaler.get_scale()]


# With how far the losses may be apart: sums go in another order.
MODELS = {"language": (language, 1e-4), "convolution": (convolution, 1e-4)}
MODELS |= {"recurrence": (recurrence, 1e-4), "mixed": (mixed, 2e-2), "scaled": (scaled, 5e-3)}


def compare(name, device):
    """Trains on a device and on the CPU; AssertionError where the losses differ."""
    train, tolerance = MODELS[name]
    np.testing.assert_allclose(train(device), train("cpu"), rtol=tolerance)
