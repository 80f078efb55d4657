"""Text token by token: keys and values of earlier tokens are kept, and the loop is one program."""

from __future__ import annotations

from typing import Any

import dlc
from dlc.ir.errors import ValueRangeError


def written(kept: Any, new: Any, place: Any) -> Any:
    """Kept rows [batch, heads, length, extent] with new ones from `place` on.

    Each row is chosen, which can be done in the memory of the kept ones.
    """
    count = new.shape[2]
    rows = dlc.arange(kept.shape[2]) - place
    if count != 1:
        new = dlc.take(new, dlc.clip(rows, 0, count - 1), axis=2)
    return dlc.where(((rows >= 0) & (rows < count))[:, None], new, kept)


def _room(x: Any, length: int) -> Any:
    """Rows [batch, heads, time, extent] with room for `length` of them."""
    return dlc.pad(x, [(0, 0), (0, 0), (0, length - x.shape[2]), (0, 0)])


def chosen(scores: Any, temperature: float, top_k: int | None, key: Any) -> Any:
    """A token for each row of scores [batch, tokens].

    Args:
        scores: Logits.
        temperature: What they are divided by; with 0 the highest is chosen.
        top_k: How many, the highest, are drawn from.
        key: A random key.
    """
    if temperature == 0:
        return dlc.argmax(scores, axis=-1)
    held = scores / temperature
    if top_k is not None and top_k < held.shape[-1]:
        values, places = dlc.topk(held, top_k)
        drawn = dlc.random.categorical(key, values)
        return dlc.take_along_axis(places, drawn[:, None], axis=-1)[:, 0]
    return dlc.random.categorical(key, held)


def generate(
    model: Any, tokens: Any, count: int, temperature: float, top_k: int | None, key: Any
) -> dlc.Tensor:
    """Tokens [batch, time] and `count` that follow.

    The model has a method `step(tokens, kept, place)`, which returns scores after the last token,
    and the keys and values of all tokens. The first call reads all tokens; then a loop reads one at
    a time.
    """
    if (
        not isinstance(count, int)
        or count < 0
        or temperature < 0
        or (top_k is not None and top_k < 1)
    ):
        raise ValueRangeError(
            f"generation of {count} tokens with temperature={temperature}, top_k={top_k}",
            hint="a number of tokens, a temperature of 0 or more, top_k 1 or more",
        )
    if count == 0:
        return tokens
    held = dlc.random.bits(None, (2,)) if key is None and temperature else key
    first = dlc.random.key(0) if held is None else held
    return _program(model, tokens, first, count, float(temperature), top_k)


def _run(
    model: Any, tokens: Any, key: Any, count: int, temperature: float, top_k: int | None
) -> Any:
    time = tokens.shape[1]
    keys = dlc.random.split(key, count)
    scores, kept = model.step(tokens)
    kept = dlc.tree.map(lambda x: _room(x, time + count - 1), kept)
    token = chosen(scores, temperature, top_k, keys[0]).astype(tokens.dtype)

    def body(carry: Any, row: Any) -> tuple[Any, Any]:
        (last, kept), (place, own) = carry, row
        scores, kept = model.step(last[:, None], kept, place)
        new = chosen(scores, temperature, top_k, own).astype(last.dtype)
        return (new, kept), new

    places = dlc.arange(time, time + count - 1)
    _, more = dlc.scan(body, (token, kept), (places, keys[1:]))
    parts = [tokens, token[:, None], dlc.moveaxis(more, 0, 1)]
    return dlc.concatenate(parts, axis=1)


_program = dlc.compile(_run, static_argnames=("count", "temperature", "top_k"))
