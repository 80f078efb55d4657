"""Python's control flow over traced tensors: functions rewritten so that it can be compiled.

source: the syntax tree of a function. names: what statements read and write. jumps: `break`,
`continue` and `return` as flags. rewrite: statements and expressions as calls of operators.
convert: which functions are rewritten, and how the result becomes a function. operators, loops,
branches, state: what the calls do, while the function runs.
"""
