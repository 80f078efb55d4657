"""`Optimizer`: what all optimizers share, whichever of the three ways they are used.

    optimizer = dlc.optim.Adam(model.parameters(), lr=1e-3)         # PyTorch's way
    optimizer.zero_grad(); loss.backward(); optimizer.step()

    optimizer = dlc.optim.Adam(learning_rate=1e-3)                  # Keras's way
    optimizer.apply_gradients(zip(gradients, variables))

    state = optimizer.init(parameters)                              # as functions
    parameters, state = optimizer.update(gradients, state, parameters)

The spelling decides formulas and defaults: `lr` (or parameters as the first argument) means
PyTorch's, `learning_rate` Keras's. State is in variables, so that a compiled step updates it in
place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, cast

import numpy as np

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.frontend.tensor import make_like
from dlc.frontend.trace import eager
from dlc.frontend.variable_state import assign_state, check_state
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError, nearest
from dlc.ir.integers import at_least
from dlc.ir.record import NamedTuple
from dlc.optim import clipping
from dlc.optim.step_counts import StepCounts

Slots = dict[str, Any]
Settings = dict[str, Any]


class Schedule(Protocol):
    """A learning rate as a function of the number of steps that were made."""

    def __call__(self, step: Any, /) -> Any:
        """The learning rate after `step` steps."""
        ...


class State(NamedTuple):
    """The state of `update`: steps made, values beside each parameter, sums of gradients."""

    step: Any
    slots: tuple[Slots, ...]
    sums: tuple[Any, ...]


class _Entry:
    """A parameter with its number, its group and its state."""

    def __init__(self, number: int, variable: dlc.Variable, group: Group, slots: Slots) -> None:
        self.number, self.variable, self.group = number, variable, group
        self.slots: dict[str, dlc.Variable] = {}
        self.add_slots(slots)
        settings = group.settings
        accumulates = settings["gradient_accumulation_steps"]
        value = wide(variable.data)  # a half type keeps no small part of a sum or average
        self.total = dlc.Variable(dlc.zeros_like(value)) if accumulates else None
        self.average = dlc.Variable(value) if settings["use_ema"] else None

    def add_slots(self, slots: Slots) -> None:
        """Keeps state that there was not."""
        for name, value in slots.items():
            if name not in self.slots:
                self.slots[name] = dlc.Variable(value, name=name)

    def state(self) -> dict[str, dlc.Variable]:
        """All state, by name."""
        more = {"sum": self.total, "average": self.average}
        return {**self.slots, **{k: v for k, v in more.items() if v is not None}}


class _Plan(NamedTuple):
    """What an update is compiled for: parameters, the settings of each, who misses the step."""

    entries: tuple[_Entry, ...]
    settings: tuple[tuple[tuple[str, Any], ...], ...]
    schedules: tuple[Schedule | None, ...]
    constraints: tuple[Callable[[Any], Any] | None, ...]
    missing: tuple[int, ...]


def _constrained(value: Any, constraint: Callable[[Any], Any] | None) -> Any:
    return value if constraint is None else dlc.astype(constraint(value), value.dtype)


class Rate(float):
    """A learning rate, a number; what is assigned to it is that of its optimizer."""

    __slots__ = ("_optimizer",)
    _optimizer: Optimizer

    def __new__(cls, value: Any, optimizer: Optimizer) -> Self:
        """The rate that an optimizer has now."""
        made = super().__new__(cls, value)
        made._optimizer = optimizer
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return float, (float(self),)

    def assign(self, value: Any) -> None:
        """Sets the optimizer's learning rate; this number stays what it was."""
        self._optimizer.learning_rate = value


class Group(Mapping[str, Any]):
    """Parameters with settings of their own, as in PyTorch's `param_groups`.

    The learning rate is a variable: to change it compiles nothing. So is a setting that moves.
    """

    def __init__(self, optimizer: Optimizer, settings: Settings, rate: Any) -> None:
        self.settings = settings
        self.initial_lr: float | None = None  # where a scheduler of PyTorch's began
        self.schedule = _schedule(rate)
        first = 0.0 if self.schedule is not None else rate
        self.rate = dlc.Variable(np.float64(first), name="learning_rate")
        self.entries: list[_Entry] = []
        self._optimizer = optimizer

    def rate_at(self, step: Any) -> Any:
        """The learning rate after so many steps."""
        return self.rate.value() if self.schedule is None else self.schedule(step)

    def move(self, name: str, value: float) -> None:
        """Changes a setting that may be another one in each step, such as the momentum.

        Only the first time compiles steps anew.
        """
        held = self.settings[name]
        if isinstance(held, dlc.Variable):
            held.assign(dlc.asarray(value, dtype=dlc.float64))
        else:
            self._change({name: dlc.Variable(np.float64(value), name=name)})

    def moving(self) -> dict[str, dlc.Variable]:
        """The settings that move."""
        return {k: v for k, v in self.settings.items() if isinstance(v, dlc.Variable)}

    def _change(self, settings: Settings) -> None:
        """Changes settings, and makes the state that is kept only with the new ones."""
        self.settings.update(settings)
        with eager():
            for e in self.entries:
                e.add_slots(self._optimizer.first_slots(wide(e.variable.data), self.settings))

    def __getitem__(self, name: str) -> Any:
        if name in ("lr", "learning_rate"):
            return self.lr
        if name == "initial_lr":
            return self.initial_lr
        if name == "params":
            return [e.variable for e in self.entries]
        own = self._optimizer.names.get(name, name)
        if isinstance(own, tuple):
            return tuple(self[n] for n in own)
        held = self.settings[own]
        return held.item() if isinstance(held, dlc.Variable) else held

    def __setitem__(self, name: str, value: Any) -> None:
        if name in ("lr", "learning_rate"):
            self.lr = value
        elif name == "initial_lr":
            self.initial_lr = value
        elif name == "params":
            raise ArgumentError(
                "the parameters of a group stay what they are", hint="use add_param_group"
            )
        else:
            self._optimizer.check_of_group({name: value})
            self._change(self._optimizer.renamed({name: value}))

    def __iter__(self) -> Iterator[str]:
        kind = type(self._optimizer)
        spelled = kind.keras if self._optimizer.is_keras else kind.torch
        own = self._optimizer.renamed(spelled)
        return iter(["params", *spelled, *(n for n in self.settings if n not in own)])

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def lr(self) -> float:
        """The learning rate, a number."""
        return self.rate.item()

    @lr.setter
    def lr(self, value: Any) -> None:
        self.schedule = _schedule(value)
        if self.schedule is None:
            self.rate.assign(dlc.asarray(value, dtype=dlc.float64))


class Optimizer:
    """The base of optimizers; a subclass gives settings and the rule for one parameter.

    Args:
        given: Parameters (variables, or dicts `{"params": [...], "lr": ...}` of groups), or a
            learning rate: a number or a function of the step.
        settings: In PyTorch's or in Keras's spelling, with its defaults.

    Both spellings take these of Keras, too:

    * `clipnorm`, `global_clipnorm`, `clipvalue`, one of them: the largest norm of each gradient, of
      all as one vector, the largest size of an element.
    * `gradient_accumulation_steps`: of how many steps the gradients are averaged for an update.
    * `use_ema`, `ema_momentum` (0.99): whether averages of the parameters are kept, moved by
      average = momentum * average + (1 - momentum) * parameter after each update;
      `finalize_variable_values` gives them to the parameters.
    * `name`.

    Raises:
        ArgumentError: for a setting that is not known, with the nearest one; for no parameters.
        ValueRangeError: for a negative learning rate, and others out of range.

    Example:
        >>> class Signs(dlc.optim.Optimizer):
        ...     torch, keras = {"lr": 0.1}, {"learning_rate": 0.1}
        ...     def first_slots(self, parameter, settings):
        ...         return {}
        ...     def rule(self, parameter, gradient, slots, settings, rate, step):
        ...         return parameter - dlc.astype(rate, parameter.dtype) * dlc.sign(gradient), {}
        >>> w = dlc.Variable([1.0, 2.0])
        >>> Signs(learning_rate=0.5).apply_gradients([(dlc.asarray([3.0, -4.0]), w)])
        >>> w.tolist()
        [0.5, 2.5]
    """

    torch: ClassVar[Mapping[str, Any]]  # settings in PyTorch's spelling, with defaults
    keras: ClassVar[Mapping[str, Any]]
    # What settings are called here; a tuple's values are several settings.
    names: ClassVar[Mapping[str, str | tuple[str, ...]]] = {}
    common: ClassVar[Mapping[str, Any]] = {
        "clipnorm": None, "clipvalue": None, "global_clipnorm": None,
        "gradient_accumulation_steps": None, "use_ema": False, "ema_momentum": 0.99, "name": None,
    }  # fmt: skip
    # Those that no group has of its own.
    of_all: ClassVar[Sequence[str]] = (
        "clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "use_ema",
    )  # fmt: skip

    def __init__(self, given: Any = None, /, **settings: Any) -> None:
        rate, parameters = _first_argument(given)
        self.is_keras = _is_keras(type(self), rate, parameters, settings)
        names = self.keras if self.is_keras else self.torch
        unknown = [n for n in settings if n not in names and n not in self.common]
        if unknown:
            allowed = [*names, *self.common]
            raise ArgumentError(
                f"{type(self).__name__}: no setting {unknown[0]!r} beside those of "
                f"{'Keras' if self.is_keras else 'PyTorch'}",
                hint=nearest(unknown[0], allowed),
            )
        held = {**self.common, **names, **settings}
        rate_name = "learning_rate" if self.is_keras else "lr"
        self._rate = held.pop(rate_name) if rate is None else rate
        held.pop(rate_name, None)
        self.settings: Settings = self.normalise(held)
        self._check(self.settings, self._rate)
        self.steps = dlc.Variable(np.asarray(0, np.int32), name="steps")
        self._counts = StepCounts()
        self._entries: list[_Entry] = []
        self._by_variable: dict[int, _Entry] = {}
        self._plans: dict[_Plan, _Plan] = {}  # that of the last step
        self.param_groups: list[Group] = []
        self._compiled = dlc.compile(
            self._apply, name=f"{type(self).__name__}_step", static_argnames=("plan",)
        )
        for group in [] if parameters is None else _groups(parameters):
            self.add_param_group(group)
        if parameters is not None and not self._entries:
            raise ArgumentError(
                f"{type(self).__name__}: there is no parameter to train",
                hint="layers that learn their input's shape make parameters when they are first "
                "called: call the model before",
            )
        if not self.param_groups:
            self.param_groups.append(Group(self, self.settings, self._rate))

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles have."""
        return {**vars(self), "_plans": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what a copy or a pickle has: variables of its own."""
        vars(self).update(state)
        self._by_variable = {id(e.variable): e for e in self._entries}

    # What a subclass says.

    def normalise(self, settings: Settings) -> Settings:
        """The settings under one name each, whichever the spelling."""
        return self.renamed(settings)

    def renamed(self, settings: Mapping[str, Any]) -> Settings:
        """Settings under the names of `names`."""
        found: Settings = {}
        for name, value in settings.items():
            own = self.names.get(name, name)
            if not isinstance(own, tuple):
                found[own] = value
            elif isinstance(value, (tuple, list)) and len(value) == len(own):
                found.update(zip(own, value, strict=True))
            else:
                raise ArgumentError(
                    f"{type(self).__name__}({name}={value!r}): it takes {len(own)} numbers"
                )
        return found

    def first_slots(self, parameter: Any, settings: Settings) -> Slots:
        """The state that is kept beside a parameter, before the first step.

        A parameter of a half type comes at float32, and so its state is.
        """
        raise NotImplementedError

    def rule(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """The parameter and its state after a step; `step` counts from 1.

        A parameter of a half type comes at float32, and is rounded to its type after the step.
        """
        raise NotImplementedError

    def _check(self, settings: Settings, rate: Any) -> None:
        name = type(self).__name__
        if _schedule(rate) is None and not hasattr(rate, "__float__"):
            raise ArgumentError(
                f"{name}: a learning rate is a number or a schedule, got {type(rate).__name__}"
            )
        if _schedule(rate) is None and not rate >= 0:
            raise ValueRangeError(f"{name}: a learning rate of {rate}")
        for key in ("clipnorm", "clipvalue", "global_clipnorm"):
            if settings[key] is not None and not settings[key] > 0:
                raise ValueRangeError(f"{name}: {key}={settings[key]} must be positive")
        if sum(settings[k] is not None for k in ("clipnorm", "clipvalue", "global_clipnorm")) > 1:
            raise ArgumentError(f"{name}: one of clipnorm, clipvalue and global_clipnorm at most")
        every = settings["gradient_accumulation_steps"]
        if every is not None:
            at_least(every, 2, f"{name}: gradient_accumulation_steps")
        for key in ("beta1", "beta2", "rho", "momentum", "ema_momentum"):
            if not 0 <= settings.get(key, 0) < 1:
                raise ValueRangeError(f"{name}: {key}={settings[key]} must be in [0, 1)")

    # Learning rates.

    @property
    def learning_rate(self) -> Rate:
        """The learning rate of the first group; to assign a number or a schedule sets all.

        It is a number that can also be assigned in Keras's way, `learning_rate.assign(0.1)`;
        neither way compiles a step anew.
        """
        group = self.param_groups[0]
        value = group.lr
        if group.schedule is not None:
            value = dlc.asarray(group.schedule(self.steps.value())).item()
        return Rate(value, self)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        self._rate = value
        for group in self.param_groups:
            group.lr = value

    lr = learning_rate

    @property
    def iterations(self) -> dlc.Variable:
        """The number of steps that were made (Keras's name)."""
        return self.steps

    # PyTorch's way.

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Adds parameters: `{"params": [...], "lr": ..., ...}`."""
        given = dict(group)
        parameters = given.pop("params")
        parameters = [parameters] if isinstance(parameters, dlc.Variable) else list(parameters)
        rate_name = "learning_rate" if self.is_keras else "lr"
        rate = given.pop(rate_name, self._rate)
        self.check_of_group(given)
        settings = {**self.settings, **self.renamed(given)}
        self._check(settings, rate)
        held = Group(self, settings, rate)
        self.param_groups.append(held)
        for p in parameters:
            self._add(p, held)

    def check_of_group(self, given: Settings) -> None:
        """Refuses settings of a group that are the whole optimizer's."""
        for name in self.of_all:
            if name in given and given[name] != self.settings[name]:
                raise ArgumentError(
                    f"{type(self).__name__}: {name}={given[name]} of a group of parameters; "
                    "it is set for the whole optimizer, when that is made"
                )

    def _add(self, p: Any, group: Group) -> _Entry:
        if not isinstance(p, dlc.Variable) or not p.dtype.is_float:
            shown = p.tensor if isinstance(p, dlc.Tensor) else type(p).__name__
            raise ArgumentError(
                f"{type(self).__name__}: {shown} is no variable of floats",
                hint="give it model.parameters(), or a list of dlc.Variable",
            )
        if id(p) in self._by_variable:
            raise ArgumentError(
                f"{type(self).__name__}: {p.name or 'a parameter'} ({p.tensor}) was given twice"
            )
        with eager():  # state outlives the program that is being traced
            slots = self.first_slots(wide(p.data), group.settings)
            entry = _Entry(len(self._entries), p, group, slots)
            if not self.is_keras:
                self._counts.add(entry.number, self._updates(self.steps.value()).item())
        self._entries.append(entry)
        group.entries.append(entry)
        self._by_variable[id(p)] = entry
        return entry

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all parameters (or sets them to zero)."""
        for e in self._entries:
            e.variable.grad = None if set_to_none else dlc.zeros_like(e.variable.data)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters by their `grad`; those without one stay as they are.

        In PyTorch's spelling they do not count the step either: what depends on the number of
        steps, such as Adam's correction of means, depends on those that a parameter has had.

        Args:
            closure: Computes the loss and the gradients first; its result is returned.
        """
        loss = None if closure is None else closure()
        found = [(e.variable.grad, e.variable) for e in self._entries]
        self._run([(g, v) for g, v in found if g is not None])
        return loss

    # Keras's way.

    def build(self, variables: Iterable[dlc.Variable]) -> None:
        """Makes the state for variables, which otherwise happens at the first step."""
        for v in variables:
            if id(v) not in self._by_variable:
                self._add(v, self.param_groups[0])

    @property
    def parameters(self) -> list[dlc.Variable]:
        """The parameters that it has state for, in the order in which they came."""
        return [e.variable for e in self._entries]

    @property
    def variables(self) -> list[dlc.Variable]:
        """All state: the number of steps, learning rates, and what is kept beside parameters."""
        return list(self._state().values())

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, dlc.Variable]]) -> None:
        """Updates variables by gradients, given in pairs; a gradient that is None is left out."""
        pairs = [(g, v) for g, v in grads_and_vars if g is not None]
        if not pairs:
            raise ArgumentError(f"{type(self).__name__}: there are no gradients")
        self.build(v for _, v in pairs)
        self._run(pairs)

    def apply(self, gradients: Sequence[Any], variables: Sequence[dlc.Variable]) -> None:
        """`apply_gradients` with two lists."""
        self.apply_gradients(zip(gradients, variables, strict=True))

    # As functions.

    def init(self, parameters: Any) -> State:
        """The state for a tree of parameters, before the first step."""
        leaves = [wide(p) for p in dlc.tree.leaves(parameters)]
        every = self.settings["gradient_accumulation_steps"]
        return State(
            dlc.asarray(0, dtype=dlc.int32),
            tuple(self.first_slots(p, self.settings) for p in leaves),
            tuple(dlc.zeros_like(p) for p in leaves) if every else (),
        )

    def update(self, gradients: Any, state: State, parameters: Any) -> tuple[Any, State]:
        """The parameters after a step, and the state.

        Args:
            gradients: A tree like `parameters`.
            state: Of `init` or of the step before.
            parameters: A tree of floats.
        """
        leaves, structure = dlc.tree.flatten(parameters)
        given = dlc.tree.leaves(gradients)
        if len(given) != len(leaves):
            raise ShapeError(f"{len(given)} gradients for {len(leaves)} parameters")
        group = self.param_groups[0]
        settings = [self.settings] * len(leaves)
        rates = [group.schedule(state.step) if group.schedule else self._rate] * len(leaves)
        made = self._new_values(leaves, given, settings, rates, state, [None] * len(leaves))
        return dlc.tree.unflatten(structure, made[0]), made[1]

    # What all three do.

    def _new_values(
        self,
        parameters: Sequence[Any],
        gradients: Sequence[Any],
        settings: Sequence[Settings],
        rates: Sequence[Any],
        state: State,
        missed: Sequence[Any],
    ) -> tuple[list[Any], State]:
        every = self.settings["gradient_accumulation_steps"]
        step = state.step + dlc.asarray(1, dtype=dlc.int32)
        sums: list[Any] = []
        if every:
            pairs = zip(state.sums, gradients, strict=True)
            sums = [s + dlc.astype(as_tensor(g), s.dtype) for s, g in pairs]
            gradients = [s / every for s in sums]
        gradients = clipping.clipped([wide(g) for g in gradients], self.settings)
        made = [
            self._ruled(p, g, held, _now(s), r, self._updates(step, m))
            for p, g, held, s, r, m in zip(
                parameters, gradients, state.slots, settings, rates, missed, strict=True
            )
        ]
        new = [p for p, _ in made]
        slots = [s for _, s in made]
        if every:  # between updates only the sums change
            now = step % every == 0
            new = [dlc.where(now, n, p) for n, p in zip(new, parameters, strict=True)]
            slots = [
                {k: dlc.where(now, s[k], old[k]) for k in s}
                for s, old in zip(slots, state.slots, strict=True)
            ]
            sums = [dlc.where(now, dlc.zeros_like(s), s) for s in sums]
        return new, State(step, tuple(slots), tuple(sums))

    def _ruled(
        self, parameter: Any, gradient: Any, slots: Slots, settings: Settings, rate: Any, step: Any
    ) -> tuple[Any, Slots]:
        """`rule` at float32 for half types: float16 holds neither eps nor the square of 256."""
        p = wide(parameter)
        new, after = self.rule(p, dlc.astype(gradient, p.dtype), slots, settings, rate, step)
        kept = {k: dlc.astype(v, slots[k].dtype) for k, v in after.items()}
        return dlc.astype(new, parameter.dtype), kept

    def _updates(self, step: Any, missed: Any = None) -> Any:
        """How many updates there are in so many steps, less those that were missed."""
        every = self.settings["gradient_accumulation_steps"]
        made = step // every if every else step
        return made if missed is None else made - missed

    def _run(self, pairs: Sequence[tuple[Any, dlc.Variable]]) -> None:
        """Updates variables, in one compiled call."""
        for g, v in pairs:
            if tuple(g.shape) != tuple(v.shape):
                raise ShapeError(
                    f"{type(self).__name__}: a gradient {dlc.asarray(g).tensor} for "
                    f"{v.name or 'a parameter'} ({v.tensor})"
                )
        entries = tuple(self._by_variable[id(v)] for _, v in pairs)
        settings = tuple(tuple(e.group.settings.items()) for e in entries)
        schedules = tuple(e.group.schedule for e in entries)
        constraints = tuple(e.variable.constraint for e in entries)
        plan = _Plan(entries, settings, schedules, constraints, self._missing(entries))
        # The very object of the step before, by which native code knows the step.
        known = self._plans.get(plan)
        if known is None:
            known, self._plans = plan, {plan: plan}
        self._compiled([g for g, _ in pairs], plan=known)

    def _missing(self, entries: Sequence[_Entry]) -> tuple[int, ...]:
        """The numbers of the parameters that miss a step; Keras counts steps for all as one."""
        if self.is_keras or len(entries) == len(self._entries):
            return ()
        found = sorted(set(range(len(self._entries))).difference(e.number for e in entries))
        self._counts.expect(found, len(self._entries))
        return tuple(found)

    def _apply(self, gradients: Sequence[Any], plan: _Plan) -> None:
        entries = plan.entries
        missed = [self._counts.missed_by(e.number) for e in entries]
        state = State(
            self.steps.value(),
            tuple({k: v.value() for k, v in e.slots.items()} for e in entries),
            tuple(e.total.value() for e in entries if e.total is not None),
        )
        parameters = [e.variable.value() for e in entries]
        rates = [e.group.rate_at(self.steps.value()) for e in entries]
        settings = [e.group.settings for e in entries]
        new, after = self._new_values(parameters, gradients, settings, rates, state, missed)
        if plan.missing:
            updates = self._updates(after.step) - self._updates(state.step)
            self._counts.miss(plan.missing, updates)
        self.steps.assign(after.step)
        for k, e in enumerate(entries):
            e.variable.assign(_constrained(new[k], plan.constraints[k]))
            for name, value in after.slots[k].items():
                e.slots[name].assign(value)
            if e.total is not None:
                e.total.assign(after.sums[k])
            if e.average is not None:
                share = e.group.settings["ema_momentum"]
                value = wide(new[k])
                moved = share * e.average + (1 - share) * value
                first = self._updates(state.step, missed[k]) < 1
                e.average.assign(dlc.where(first, value, moved))  # first values do not count

    # State.

    def _state(self) -> dict[str, dlc.Variable]:
        found = {"steps": self.steps, **self._counts.state()}
        for k, group in enumerate(self.param_groups):
            found[f"groups.{k}.learning_rate"] = group.rate
            found.update({f"groups.{k}.{name}": v for name, v in group.moving().items()})
        for k, entry in enumerate(self._entries):
            found.update({f"{k}.{name}": v for name, v in entry.state().items()})
        return found

    def state_dict(self) -> dict[str, dlc.Tensor]:
        """The values of all state by name; parameters are numbered in the order they were given."""
        return {name: v.data for name, v in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Assigns what `state_dict` gave.

        Raises:
            ArgumentError: for a state that is no dict from names.
            ValueRangeError: for names that are missing or not known, and shapes that differ: all
                of them at once. Nothing has been assigned then.
        """
        check_state(state)
        hint = "make the state of the same parameters first, with build(variables)"
        if not self.is_keras and "missed" in state:
            numbers = np.flatnonzero(dlc.asarray(state["missed"]).numpy()).tolist()
            self._counts.expect(numbers, len(self._entries))
        # A state in which no parameter has missed a step does not name what they missed.
        none = {name: dlc.zeros_like(v.data) for name, v in self._counts.state().items()}
        state = {**none, **state}
        assign_state(type(self).__name__, "optimizer", self._state(), state, hint)

    def finalize_variable_values(self, variables: Iterable[dlc.Variable] | None = None) -> None:
        """Gives variables the averages of `use_ema`, all of them by default (Keras's name)."""
        if not self.settings["use_ema"]:
            raise ArgumentError(f"{type(self).__name__}: it was made without use_ema=True")
        chosen = None if variables is None else set(map(id, variables))
        for e in self._entries:
            if e.average is not None and (chosen is None or id(e.variable) in chosen):
                e.variable.assign(dlc.astype(e.average.value(), e.variable.dtype))

    def __repr__(self) -> str:
        rate = "learning_rate" if self.is_keras else "lr"
        shown = getattr(self._rate, "__name__", None) or self._rate
        return f"{type(self).__name__}({len(self._entries)} parameters, {rate}={shown})"


def _now(settings: Settings) -> Settings:
    """Settings with the values of those that move, as weak as the numbers that the others are."""
    return {
        k: make_like(v.value(), weak=True) if isinstance(v, dlc.Variable) else v
        for k, v in settings.items()
    }


def _schedule(rate: Any) -> Schedule | None:
    """A learning rate that is a function; None for a number."""
    return cast(Schedule, rate) if callable(rate) else None


def _first_argument(given: Any) -> tuple[Any, Any]:
    """A learning rate and parameters, of which one may be the first argument."""
    if given is None:
        return None, None
    if isinstance(given, (int, float)) or (callable(given) and not isinstance(given, dlc.Tensor)):
        return given, None
    return None, given


def _is_keras(kind: type[Optimizer], rate: Any, parameters: Any, settings: Settings) -> bool:
    """Which spelling settings are in; ArgumentError when they are in both."""
    theirs = [n for n in settings if n in kind.torch and n not in kind.keras]
    mine = [n for n in settings if n in kind.keras and n not in kind.torch]
    if rate is not None:
        mine.insert(0, "learning_rate")
    if theirs and mine:
        raise ArgumentError(
            f"{kind.__name__}: {mine[0]} is Keras's spelling, {theirs[0]} PyTorch's",
            hint="use one of the two: they have other formulas and defaults",
        )
    return bool(mine) or not (theirs or parameters is not None)


def _groups(parameters: Any) -> list[Mapping[str, Any]]:
    if isinstance(parameters, dlc.Variable):
        raise ArgumentError("an optimizer of one variable", hint="give it a list: [variable]")
    held = list(parameters)
    if all(isinstance(p, Mapping) for p in held):
        return held
    return [{"params": held}]
