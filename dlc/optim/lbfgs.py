"""`LBFGS`: steps by the gradient and what the last gradients say about the second derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

import dlc
from dlc.frontend.apply import wide
from dlc.frontend.trace import current
from dlc.frontend.variable_state import check_state
from dlc.ir.errors import ArgumentError, TracedValueError, ValueRangeError
from dlc.ir.record import NamedTuple
from dlc.optim.optimizer import Optimizer, Settings, Slots

__all__ = ["LBFGS"]

_LEAST_CURVATURE = 1e-10  # PyTorch's: pairs that bend less are not kept


class _Point(NamedTuple):
    """A place on the line that is searched, with what was found there."""

    length: float
    loss: float
    gradient: Any
    slope: float  # of the loss along the line


class _Memory(NamedTuple):
    """What a step knows of those before: flat values, and how gradients changed by which moves."""

    direction: Any
    length: float
    gradient: Any
    scale: float  # of the second derivative's inverse, where no pair says otherwise
    moves: tuple[Any, ...]
    turns: tuple[Any, ...]


class LBFGS(Optimizer):
    """Steps with an estimate of the second derivative from the last gradients (Nocedal, 1980).

    For gradients of all the data, not of batches; a step evaluates the loss several times, by a
    function that is given to `step`. PyTorch's spelling: `lr=1, max_iter=20, max_eval=None`
    (5 / 4 of `max_iter`), `tolerance_grad=1e-7, tolerance_change=1e-9, history_size=100,
    line_search_fn=None` (or "strong_wolfe", which `lr` matters little to).

    Example:
        >>> w = dlc.Variable([3.0, -2.0], requires_grad=True)
        >>> optimizer = dlc.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((w - dlc.asarray([1.0, 2.0])) ** 4).sum()
        ...     loss.backward()
        ...     return loss
        >>> float(optimizer.step(closure)), w.numpy().round(1).tolist()
        (272.0, [1.0, 2.0])
    """

    torch: ClassVar = {
        "lr": 1.0, "max_iter": 20, "max_eval": None, "tolerance_grad": 1e-7,
        "tolerance_change": 1e-9, "history_size": 100, "line_search_fn": None,
    }  # fmt: skip
    keras: ClassVar = {"learning_rate": 1.0}

    def __init__(self, given: Any = None, /, **settings: Any) -> None:
        self._memory: _Memory | None = None
        super().__init__(given, **settings)

    def _check(self, settings: Settings, rate: Any) -> None:
        super()._check(settings, rate)
        if self.is_keras:
            raise ArgumentError(
                "LBFGS needs the parameters that its steps are about, and PyTorch's spelling",
                hint="LBFGS(model.parameters(), lr=1.0), then step(closure); fit has other "
                'optimizers, such as "adam"',
            )
        for name, default in self.common.items():
            if settings[name] != default and name != "name":
                raise ArgumentError(f"LBFGS({name}={settings[name]!r}): it has no such setting")
        for name in ("max_iter", "history_size", "max_eval"):
            value = settings[name]
            if value is None and name == "max_eval":
                continue
            if not isinstance(value, int) or value < 1:
                raise ValueRangeError(f"LBFGS({name}={value!r}): it is an integer of 1 or more")
        if settings["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueRangeError(
                f"LBFGS(line_search_fn={settings['line_search_fn']!r}): "
                'it is None or "strong_wolfe"'
            )

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Adds the parameters; there is one group."""
        if self.param_groups:
            raise ArgumentError(
                "LBFGS has one group of parameters", hint="give it one list of all parameters"
            )
        super().add_param_group(group)

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """None: what is kept is about all parameters together."""
        return {}

    def apply_gradients(self, grads_and_vars: Any) -> None:
        """Refused: gradients that are given say nothing of the loss elsewhere."""
        raise _only_by_closure("apply_gradients")

    def init(self, parameters: Any) -> Any:
        """Refused, as `apply_gradients` is."""
        raise _only_by_closure("init")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Moves the parameters until one of the limits is met; gives the loss before that.

        Args:
            closure: Sets the gradients to none, computes the loss and the gradients
                (`loss.backward()`), and returns the loss.
        """
        if closure is None:
            raise _only_by_closure("step")
        if current.get() is not None:
            raise TracedValueError(
                "LBFGS.step in compiled code: how often it evaluates the loss depends on values",
                hint="compile the function that computes the loss, and call step outside",
            )
        group = self.param_groups[0]
        settings, rate = group.settings, dlc.asarray(group.rate_at(self.steps.value())).item()
        most, change = settings["max_iter"], settings["tolerance_change"]
        evaluations = most * 5 // 4 if settings["max_eval"] is None else settings["max_eval"]
        first = closure()
        loss, gradient = _number(first), self._flat_gradient()
        made = 1
        for k in range(1, most + 1):
            if not _largest(gradient) > settings["tolerance_grad"]:  # or it is NaN
                break
            length = rate
            if self._memory is None:
                length = min(1.0, 1.0 / dlc.sum(abs(gradient)).item()) * rate
            held = self._memory = self._remembered(gradient, length, settings["history_size"])
            self.steps.assign_add(1)
            start = _Point(0.0, loss, gradient, _dot(gradient, held.direction))
            if start.slope > -change:
                break
            begin = [p.data for p in self.parameters]

            def at(length: float, begin: list[Any] = begin, held: _Memory = held) -> _Point:
                self._move(begin, held.direction, length)
                value = _number(closure())
                gradient = self._flat_gradient()
                return _Point(length, value, gradient, _dot(gradient, held.direction))

            size = _largest(held.direction)
            if settings["line_search_fn"] is not None:
                search = _Search(at, start, size, evaluations - made, change)
                found, tried = search.found(length)
                self._move(begin, held.direction, found.length)
                self._memory = held._replace(length=found.length)
            elif k < most:
                found, tried = at(length), 1
            else:  # the next step evaluates there first
                self._move(begin, held.direction, length)
                break
            made += tried
            moved = size * abs(found.length)
            if made >= evaluations or moved <= change or abs(found.loss - loss) < change:
                break
            loss, gradient = found.loss, found.gradient
        return first

    def _flat_gradient(self) -> Any:
        """The gradients of all parameters, one after another."""
        held = [(p.grad, p) for p in self.parameters]
        if all(g is None for g, _ in held):
            raise ArgumentError(
                "LBFGS: the closure left no gradients", hint="call loss.backward() in it"
            )
        return dlc.concat(
            [wide(dlc.zeros_like(p.data) if g is None else g).reshape(-1) for g, p in held]
        )

    def _move(self, begin: list[Any], direction: Any, length: float) -> None:
        """Puts the parameters so far from where they began."""
        place = 0
        for p, first in zip(self.parameters, begin, strict=True):
            part = direction[place : place + p.size].reshape(p.shape)
            place += p.size
            p.assign(dlc.astype(wide(first) + length * part, p.dtype))

    def _remembered(self, gradient: Any, length: float, size: int) -> _Memory:
        """What is known at a place with this gradient, and the direction that follows from it."""
        before = self._memory
        if before is None:
            return _Memory(-gradient, length, gradient, 1.0, (), ())
        moves, turns, scale = before.moves, before.turns, before.scale
        turn, move = gradient - before.gradient, before.direction * before.length
        bent = _dot(turn, move)
        if bent > _LEAST_CURVATURE:
            moves, turns = ((*held, new)[-size:] for held, new in ((moves, move), (turns, turn)))
            scale = bent / _dot(turn, turn)
        pairs = [(m, t, 1.0 / _dot(t, m)) for m, t in zip(moves, turns, strict=True)]
        direction, shares = -gradient, list[float]()
        for m, t, inverse in reversed(pairs):
            shares.append(_dot(m, direction) * inverse)
            direction = direction - shares[-1] * t
        direction = direction * scale
        for (m, t, inverse), share in zip(pairs, reversed(shares), strict=True):
            direction = direction + (share - _dot(t, direction) * inverse) * m
        return _Memory(direction, length, gradient, scale, tuple(moves), tuple(turns))

    def state_dict(self) -> dict[str, dlc.Tensor]:
        """The values of all state by name; what is known of earlier steps is about all at once."""
        found = super().state_dict()
        if (held := self._memory) is not None:
            found |= {"direction": held.direction, "gradient": held.gradient}
            found |= {n: dlc.asarray(getattr(held, n), dtype=dlc.float64) for n in _NUMBERS}
            empty = dlc.zeros((0, held.gradient.size), dtype=held.gradient.dtype)
            for name in _STACKS:
                stack = getattr(held, name)
                found[name] = dlc.stack(stack) if stack else empty
        return found

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Assigns what `state_dict` gave.

        Raises:
            ValueRangeError: The state is of other parameters, or a part of it is missing.
        """
        check_state(state)
        names = [n for n in _Memory._fields if n in state]
        total = sum(p.size for p in self.parameters)
        if names and len(names) < len(_Memory._fields):
            missing = ", ".join(n for n in _Memory._fields if n not in state)
            raise ValueRangeError(f"LBFGS: the state has no {missing}")
        held = {n: dlc.asarray(state[n]) for n in names}
        for name, value in held.items():
            rank = 0 if name in _NUMBERS else 2 if name in _STACKS else 1
            if value.ndim != rank or (rank and value.shape[-1] != total):
                raise ValueRangeError(
                    f"LBFGS: the state's {name} is {value.tensor}, for {total} elements of "
                    "parameters",
                    hint="load a state of an optimizer of the same parameters",
                )
        if held and held["moves"].shape != held["turns"].shape:
            raise ValueRangeError(
                f"LBFGS: the state has {held['moves'].shape[0]} moves and "
                f"{held['turns'].shape[0]} turns"
            )
        super().load_state_dict({n: v for n, v in state.items() if n not in held})
        self._memory = None
        if held:
            length, scale = (held[n].item() for n in _NUMBERS)
            moves, turns = (tuple(dlc.unstack(held[n])) for n in _STACKS)
            self._memory = _Memory(held["direction"], length, held["gradient"], scale, moves, turns)


_NUMBERS, _STACKS = ("length", "scale"), ("moves", "turns")


def _only_by_closure(name: str) -> ArgumentError:
    return ArgumentError(
        f"LBFGS.{name}: each step evaluates the loss several times",
        hint="call optimizer.step(closure), where closure() computes the loss and the gradients "
        "and returns the loss; in fit, use another optimizer",
    )


def _number(loss: Any) -> float:
    if loss is None:
        raise ArgumentError("LBFGS: the closure returned None", hint="return the loss from it")
    return float(loss)


def _dot(x: Any, y: Any) -> float:
    found: float = dlc.sum(x * y).item()
    return found


def _largest(x: Any) -> float:
    return dlc.max(abs(x)).item() if x.size else 0.0


class _Search(NamedTuple):
    """A search along a line for where the loss is less and flatter (Nocedal and Wright, 3.5)."""

    at: Callable[[float], _Point]  # evaluates the loss so far along the line
    start: _Point
    size: float  # the largest element of the direction
    limit: int  # how often to try again
    change: float  # the least width of a bracket, as the parameters see it

    def is_high(self, p: _Point) -> bool:
        """Whether the loss is not less by what the slope promises; so is a NaN."""
        return not p.loss <= self.start.loss + 1e-4 * p.length * self.start.slope

    def is_flat(self, p: _Point) -> bool:
        """Whether the slope is less steep than at the start."""
        return abs(p.slope) <= -0.9 * self.start.slope

    def found(self, length: float) -> tuple[_Point, int]:
        """A point, and how often the loss was evaluated; `length` is tried first."""
        before, new, tried = self.start, self.at(length), 0
        while tried < self.limit:
            if self.is_high(new) or (tried > 1 and new.loss >= before.loss):
                return self._narrowed([before, new], tried)
            if self.is_flat(new):
                return new, tried + 1
            if new.slope >= 0:
                return self._narrowed([before, new], tried)
            least = new.length + 0.01 * (new.length - before.length)
            further = _cubic_minimum(before, new, least, new.length * 10)
            before, new = new, self.at(further)
            tried += 1
        return self._narrowed([self.start, new], tried)

    def _narrowed(self, bracket: list[_Point], tried: int) -> tuple[_Point, int]:
        """The best point between two."""
        low, high = _by_loss(bracket)
        slow = False
        while tried < self.limit:
            left, right = sorted(p.length for p in bracket)
            if (right - left) * self.size < self.change:
                break
            length = _cubic_minimum(bracket[0], bracket[1], left, right)
            margin = 0.1 * (right - left)
            near = min(right - length, length - left) < margin
            if near and (slow or length >= right or length <= left):  # not twice beside an end
                near = False
                at_right = abs(length - right) < abs(length - left)
                length = right - margin if at_right else left + margin
            slow = near
            new = self.at(length)
            tried += 1
            if self.is_high(new) or new.loss >= bracket[low].loss:
                bracket[high] = new
                low, high = _by_loss(bracket)
                continue
            if self.is_flat(new):
                return new, tried + 1
            if new.slope * (bracket[high].length - bracket[low].length) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = new
        return bracket[low], tried + 1


def _by_loss(bracket: list[_Point]) -> tuple[int, int]:
    """Where the point with the lower loss stands, and where the other one."""
    return (1, 0) if bracket[1].loss < bracket[0].loss else (0, 1)


def _cubic_minimum(p: _Point, q: _Point, least: float, most: float) -> float:
    """Where the cubic through two points with their slopes is least, between limits."""
    p, q = (p, q) if p.length <= q.length else (q, p)
    with np.errstate(all="ignore"):  # the middle, where it has no least place
        between = np.float64(p.length - q.length)
        a = p.slope + q.slope - 3 * (p.loss - q.loss) / between
        root = np.sqrt(a * a - p.slope * q.slope)
        place = q.length + between * ((q.slope + root - a) / (q.slope - p.slope + 2 * root))
    return float(min(max(place, least), most)) if np.isfinite(place) else (least + most) / 2
