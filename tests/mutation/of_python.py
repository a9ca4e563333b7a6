"""Where Python can be changed, found by its syntax tree. Annotations, decorators, docstrings and texts are left alone."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator

from tests.mutation.mutant import ARITHMETIC, BOOLEANS, COMPARISONS, EXTREMES, Change, Place, off_by_one

_WORDS = sorted([*COMPARISONS, *ARITHMETIC, *BOOLEANS], key=len, reverse=True)
_OPERATOR = re.compile("|".join(re.escape(word) if not word[0].isalpha() else rf"\b{word}\b" for word in _WORDS))
_COMMENT = re.compile(r"#[^\n]*")


def places_of(text: str) -> list[Place]:
    """All places of a module, in the order of the text."""
    return sorted(_Finder(text).found(), key=lambda place: (place.start, place.end))


class _Finder:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tree = ast.parse(text)
        lines = text.splitlines(keepends=True)
        self._lines = lines
        self._begins = [0, *itertools.accumulate(map(len, lines))]

    def found(self) -> Iterator[Place]:
        pending: list[tuple[ast.AST, str]] = [(self._tree, "")]
        while pending:
            node, function = pending.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                function = node.name
            yield from self._places(node, function)
            pending += [(child, function) for child in _children(node)]

    def _places(self, node: ast.AST, function: str) -> Iterator[Place]:
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
                yield from self._operators(Change.COMPARISON, operands, COMPARISONS)
            case ast.BinOp():
                yield from self._operators(Change.ARITHMETIC, [node.left, node.right], ARITHMETIC)
            case ast.BoolOp():
                yield from self._operators(Change.BOOLEAN, node.values, BOOLEANS)
            case ast.UnaryOp(op=ast.Not()):
                yield Place(Change.BOOLEAN, self._at(node), self._at(node.operand), ("",))
            case ast.Call(func=ast.Name(id="min" | "max")):
                yield self._place(Change.EXTREME, node.func, (EXTREMES[node.func.id],))
            case ast.Constant(value=int()) if not isinstance(node.value, bool):
                if afters := off_by_one(self._source(node)):
                    yield self._place(Change.CONSTANT, node, afters)
            case ast.stmt() if _says_something(node, function):
                yield self._place(Change.STATEMENT, node, ("pass",))

    def _operators(self, change: Change, operands: list[ast.expr], table: dict[str, str]) -> Iterator[Place]:
        """The operator stands in the text between two operands, beside brackets and line ends."""
        for left, right in itertools.pairwise(operands):
            start, end = self._end(left), self._at(right)
            between = _COMMENT.sub(lambda found: " " * len(found.group()), self._text[start:end])
            found = _OPERATOR.search(between)
            if found and found.group() in table:
                yield Place(change, start + found.start(), start + found.end(), (table[found.group()],))

    def _place(self, change: Change, node: ast.expr | ast.stmt, afters: tuple[str, ...]) -> Place:
        return Place(change, self._at(node), self._end(node), afters)

    def _source(self, node: ast.expr) -> str:
        return self._text[self._at(node) : self._end(node)]

    def _at(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.lineno, node.col_offset)

    def _end(self, node: ast.expr | ast.stmt) -> int:
        return self._offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)

    def _offset(self, line: int, column: int) -> int:
        """Columns of the tree count bytes."""
        return self._begins[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """What may be changed below a node."""
    match node:
        case ast.JoinedStr() | ast.Assert():
            return
        case ast.AnnAssign():
            if node.value is not None:
                yield node.value
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from [default for default in [*node.args.defaults, *node.args.kw_defaults] if default is not None]
            yield from node.body
        case ast.ClassDef():
            yield from node.body
        case _:
            yield from ast.iter_child_nodes(node)


def _says_something(node: ast.stmt, function: str) -> bool:
    """Whether dropping it leaves a program that runs on: a name that was never bound would only fail at once."""
    match node:
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Continue():
            return True
        case ast.Assign() if function != "__init__":
            return all(isinstance(target, ast.Attribute | ast.Subscript) for target in node.targets)
    return False
