"""The mutants of a source file: single changes of operators, conditions, constants and returned values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import libcst as cst
from libcst.metadata import ByteSpanPositionProvider, CodeSpan, MetadataWrapper

_COMPARISONS: dict[type[cst.BaseCompOp], tuple[str, ...]] = {
    cst.LessThan: ("<=", ">="),
    cst.LessThanEqual: ("<", ">"),
    cst.GreaterThan: (">=", "<="),
    cst.GreaterThanEqual: (">", "<"),
    cst.Equal: ("!=",),
    cst.NotEqual: ("==",),
    cst.Is: ("is not",),
    cst.IsNot: ("is",),
    cst.In: ("not in",),
    cst.NotIn: ("in",),
}
_ARITHMETIC: dict[type[cst.CSTNode], str] = {
    cst.Add: "-",
    cst.Subtract: "+",
    cst.Multiply: "//",
    cst.Divide: "*",
    cst.FloorDivide: "*",
    cst.Modulo: "//",
    cst.Power: "*",
    cst.LeftShift: ">>",
    cst.RightShift: "<<",
    cst.BitAnd: "|",
    cst.BitOr: "&",
    cst.BitXor: "&",
    cst.AddAssign: "-=",
    cst.SubtractAssign: "+=",
    cst.MultiplyAssign: "//=",
    cst.BitAndAssign: "|=",
    cst.BitOrAssign: "&=",
    cst.And: "or",
    cst.Or: "and",
}


class Mutant(NamedTuple):
    """One change of one file."""

    module: str  # path of the file, relative to the repository
    line: int  # from 1
    where: str  # qualified name of the enclosing class or function; "" for the module itself
    before: str  # the lines that change, with single spaces
    after: str
    source: str  # the whole file after the change

    def __str__(self) -> str:
        place = f"{self.module}:{self.line}" + (f" in {self.where}" if self.where else "")
        return f"{place}\n    - {self.before}\n    + {self.after}"


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All mutants of a source file, in the order of the text.

    Annotations, type aliases in annotations, decorators and `if TYPE_CHECKING` are left alone: they have no behaviour
    that a test could observe.
    """
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    finder = _Finder(wrapper.resolve(ByteSpanPositionProvider), source.encode())
    wrapper.module.visit(finder)
    return [_mutant(module, source.encode(), *change) for change in sorted(finder.changes)]


def _mutant(module: str, source: bytes, start: int, end: int, text: str, where: str) -> Mutant:
    first = source.rfind(b"\n", 0, start) + 1
    last = source.find(b"\n", end)
    before = source[first:last]
    after = source[first:start] + text.encode() + source[end:last]
    return Mutant(
        module=module,
        line=source.count(b"\n", 0, start) + 1,
        where=where,
        before=" ".join(before.decode().split()),
        after=" ".join(after.decode().split()),
        source=(source[:first] + after + source[last:]).decode(),
    )


class _Finder(cst.CSTVisitor):
    """Collects changes: the span of bytes that is replaced, the new text, and the enclosing definition."""

    def __init__(self, spans: Mapping[cst.CSTNode, CodeSpan], source: bytes) -> None:
        super().__init__()
        self.changes: set[tuple[int, int, str, str]] = set()
        self._spans = spans
        self._source = source
        self._scope: list[str] = []

    def _replace(self, node: cst.CSTNode, text: str) -> None:
        span = self._spans[node]
        self.changes.add((span.start, span.start + span.length, text, ".".join(self._scope)))

    def _text(self, node: cst.CSTNode) -> str:
        span = self._spans[node]
        return self._source[span.start : span.start + span.length].decode()

    def _negate(self, test: cst.BaseExpression) -> None:
        # Where the test is one comparison or a `not`, changing that operator negates it already.
        if isinstance(test, cst.Comparison) and len(test.comparisons) == 1:
            return
        if isinstance(test, cst.UnaryOperation) and isinstance(test.operator, cst.Not):
            return
        self._replace(test, f"not ({self._text(test)})")

    def visit_Annotation(self, node: cst.Annotation) -> bool:
        return False

    def visit_Decorator(self, node: cst.Decorator) -> bool:
        return False

    def visit_ClassDef(self, node: cst.ClassDef) -> None:
        self._scope.append(node.name.value)

    def leave_ClassDef(self, original_node: cst.ClassDef) -> None:
        self._scope.pop()

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        self._scope.append(node.name.value)

    def leave_FunctionDef(self, original_node: cst.FunctionDef) -> None:
        self._scope.pop()

    def visit_ComparisonTarget(self, node: cst.ComparisonTarget) -> None:
        for other in _COMPARISONS[type(node.operator)]:
            self._replace(node.operator, other)

    def visit_BinaryOperation(self, node: cst.BinaryOperation) -> None:
        self._change_operator(node.operator)

    def visit_BooleanOperation(self, node: cst.BooleanOperation) -> None:
        self._change_operator(node.operator)

    def visit_AugAssign(self, node: cst.AugAssign) -> None:
        self._change_operator(node.operator)

    def _change_operator(self, operator: cst.CSTNode) -> None:
        if other := _ARITHMETIC.get(type(operator)):
            self._replace(operator, other)

    def visit_If(self, node: cst.If) -> bool:
        if isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING":
            return False
        self._negate(node.test)
        return True

    def visit_While(self, node: cst.While) -> None:
        self._negate(node.test)

    def visit_IfExp(self, node: cst.IfExp) -> None:
        self._negate(node.test)

    def visit_CompIf(self, node: cst.CompIf) -> None:
        self._negate(node.test)

    def visit_MatchCase(self, node: cst.MatchCase) -> None:
        if node.guard is not None:
            self._negate(node.guard)

    def visit_UnaryOperation(self, node: cst.UnaryOperation) -> None:
        if isinstance(node.operator, cst.Not):
            self._replace(node, f"({self._text(node.expression)})")

    def visit_Name(self, node: cst.Name) -> None:
        if node.value in ("True", "False"):
            self._replace(node, "False" if node.value == "True" else "True")

    def visit_Integer(self, node: cst.Integer) -> None:
        value = node.evaluated_value
        self._replace(node, str(value + 1))
        self._replace(node, str(value - 1))

    def visit_Return(self, node: cst.Return) -> None:
        # None and False are equally false, and another mutant changes the constant.
        if node.value is not None and self._text(node.value) not in ("None", "True", "False"):
            self._replace(node.value, "None")
