from typing import Any

class ASTSource:
    def __init__(
        self,
        fn: Any,
        signature: dict[str, str],
        constexprs: dict[Any, Any] | None = None,
        attrs: dict[Any, Any] | None = None,
    ) -> None: ...

def __getattr__(name: str) -> Any: ...
