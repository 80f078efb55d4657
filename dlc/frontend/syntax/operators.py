"""What rewritten functions call in place of Python's control flow.

Each operator looks at the value that decides: for anything but a traced tensor it does what Python
does, so that what is known while tracing costs nothing in the program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any

from dlc.frontend.syntax import branches, builtins, loops
from dlc.frontend.syntax.state import Path, slots_of
from dlc.frontend.syntax.values import (
    TracedItems,
    either,
    in_block,
    inverted,
    is_traced,
    truth,
)
from dlc.ir.errors import TracedValueError

Block = FunctionType
Variables = tuple[
    Sequence[str], Sequence[Path], Sequence[str], Sequence[str]
]  # as `slots_of` takes them


def if_statement(
    condition: Any, then: Block, otherwise: Block | None, *variables: *Variables
) -> None:
    """`if condition: then() else: otherwise()`."""
    if not is_traced(condition):
        if condition:
            then()
        elif otherwise is not None:
            otherwise()
        return
    functions = [then] if otherwise is None else [then, otherwise]
    branches.run(truth(condition), then, otherwise, slots_of(functions, *variables))


def while_statement(test: Block, body: Block, *variables: *Variables) -> None:
    """`while test(): body()`."""
    while True:
        condition = test()
        if is_traced(condition):
            return loops.run_while(test, body, slots_of([test, body], *variables))
        if not condition:
            return None
        body()


def for_statement(
    items: Iterable[Any],
    body: Callable[[Any], None],
    go_on: Callable[[], Any] | None,
    *variables: *Variables,
) -> None:
    """`for item in items: body(item)`, as long as `go_on()` is true after each."""
    if isinstance(items, TracedItems) or is_traced(items):
        assert isinstance(body, FunctionType)
        functions = [body] if go_on is None else [body, go_on]
        loops.run_for(items, body, go_on, slots_of(functions, *variables))
        return
    rest = iter(items)
    for item in rest:
        body(item)
        if go_on is None:
            continue
        more = go_on()
        if is_traced(more):
            assert isinstance(body, FunctionType)
            assert isinstance(go_on, FunctionType)
            slots = slots_of([body, go_on], *variables)
            numbers = builtins.rest_of_range(rest)
            if numbers is None:
                loops.run_rest(rest, body, go_on, slots)
            else:
                loops.run_for(numbers, body, go_on, slots, begun=True)
            return
        if not more:
            return


def and_(first: Any, second: Callable[[], Any]) -> Any:
    """`first and second()`."""
    if not is_traced(first):
        return first and second()
    return branches.choose(first, second, None)


def or_(first: Any, second: Callable[[], Any]) -> Any:
    """`first or second()`."""
    if not is_traced(first):
        return first or second()
    return branches.choose(first, None, second)


def test_and_(first: Any, second: Callable[[], Any]) -> Any:
    """`first and second()`, of which only the truth is asked."""
    return and_(_tested(first), lambda: _tested(second()))


def test_or_(first: Any, second: Callable[[], Any]) -> Any:
    """`first or second()`, of which only the truth is asked."""
    return or_(_tested(first), lambda: _tested(second()))


def _tested(value: Any) -> Any:
    return truth(value) if is_traced(value) else bool(value)


def not_(value: Any) -> Any:
    """`not value`."""
    return inverted(truth(value)) if is_traced(value) else not value


def none_of(*flags: Any) -> Any:
    """Whether all flags are false."""
    result: Any = False
    for flag in flags:
        result = either(result, flag)
    return not_(result)


def if_expression(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    """`then() if condition else otherwise()`."""
    if not is_traced(condition):
        return then() if condition else otherwise()
    return branches.choose(condition, then, otherwise)


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "is_": operator.is_,
    "is_not": operator.is_not,
    "contained": lambda x, items: branches.contains(items, x),
    "not_contained": lambda x, items: not_(branches.contains(items, x)),
}


def compare(first: Any, *rest: Any) -> Any:
    """`first < a() < b()`, each operand evaluated once, and not after a false comparison."""
    name, second, *more = rest
    middle = second()
    result = _COMPARISONS[name](first, middle)
    return and_(result, lambda: compare(middle, *more)) if more else result


def asserted(condition: Any) -> Any:
    """What `assert` looks at."""
    if not is_traced(condition):
        return condition
    raise TracedValueError(
        "assert needs the value of a traced tensor, which is known only when the compiled program "
        "runs",
        hint="assert on the result of the compiled function, or look at it with a dlc.debug "
        "function",
    )


def raising() -> None:
    """Comes before `raise`."""
    if in_block.get():
        raise TracedValueError(
            "raise in a block that runs under a condition on a traced tensor: whether it is "
            "reached is known only when the compiled program runs",
            hint="check before the call, or return a flag and check the result",
        )


OPERATORS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        if_statement, while_statement, for_statement, and_, or_, test_and_,
        test_or_, not_, none_of, if_expression,
        compare, asserted, raising,
    )
}  # fmt: skip
