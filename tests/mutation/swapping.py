"""Puts a mutant of Python into a process that has loaded the module already: the one function that it changes gets new code."""

from __future__ import annotations

import ast
import gc
import types
from collections.abc import Iterator
from pathlib import Path

COMPUTES_ONCE = {"histogram.py", "library.py"}
"""Modules whose functions work once, when they are loaded or first used: new code might come too late."""


def function_around(path: str, text: str, at: int) -> str:
    """The qualified name of the outermost function whose body holds a place of the text; "" where none does, or where it may have run."""
    if Path(path).name in COMPUTES_ONCE:
        return ""
    line = text.count("\n", 0, at) + 1
    for name, function in _functions(ast.parse(text).body, ""):
        first = function.body[0]
        if first.lineno <= line <= (function.end_lineno or line):
            return name
    return ""


def _functions(body: list[ast.stmt], outer: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{outer}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{outer}{node.name}.")


def swap(path: Path, text: str, name: str) -> bool:
    """Give the functions of this name in a loaded module the code that they have in `text`. False where that cannot be done."""
    new = [code for code in _codes(compile(text, str(path), "exec")) if code.co_qualname == name]
    loaded = [found for found in gc.get_objects() if isinstance(found, types.FunctionType) and _is(found.__code__, path, name)]
    if len(new) != 1 or not loaded:
        return False
    try:
        for function in loaded:
            function.__code__ = new[0]
    except ValueError:  # it closes over other names now
        return False
    return True


def _is(code: types.CodeType, path: Path, name: str) -> bool:
    return code.co_qualname == name and code.co_filename == str(path)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield inner
            yield from _codes(inner)
