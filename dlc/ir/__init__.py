"""The tensor IR: types, op rows, functions, text form, verifier, interpreter, rewriting."""
