import ast
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.code.code_hash import code_hash, f_string_parts, normal_form

CODE = '''
import torch


class Scale(torch.nn.Module):
    """Scales."""

    def __init__(self, factor=2.0):
        """Makes one."""
        super().__init__()
        self.factor = factor

    @torch.no_grad()
    def forward(self, x, *, name="x"):
        if x.dim() > 1:
            print(f"{name}: {x.shape!r:>10} rows")
        return (x * self.factor) + 1
'''

SAME = {
    "a comment": ("return (x", "return (x  # scaled\n                "),
    "a comment on a line of its own": ("        if x", "        # more than one\n        if x"),
    "the docstring of a class": ('"""Scales."""', '"""Scales\n    by a factor."""'),
    "no docstring of a class": ('    """Scales."""\n', ""),
    "no docstring of a function": ('        """Makes one."""\n', ""),
    "the docstring of a module": ("\nimport", '\n"""A module."""\nimport'),
    "the docstring of a method that had none": ("        if x", '        "Doubles."\n        if x'),
    "blank lines": ("\n\n    def", "\n\n\n\n    def"),
    "another indent": ("            print", "                print"),
    "another layout": ("forward(self, x, *, ", "forward(\n        self,\n        x,\n        *,\n        "),
    "a trailing comma": ('name="x"):', 'name="x",):'),
    "single quotes": ('name="x"', "name='x'"),
    "triple quotes": ('name="x"', 'name="""x"""'),
    "an escape": ('name="x"', 'name="\\x78"'),
    "a text in two parts": ('"x"', '"" "x"'),
    "quotes of an f-string": ('f"{name}: {x.shape!r:>10} rows"', "f'{name}: {x.shape!r:>10} rows'"),
    "an f-string in parts": ('{name}: {x.shape!r:>10} rows"', '{name}" ": " f"{x.shape!r:>10} r" "ows"'),
    "parentheses": ("(x * self.factor) + 1", "x * self.factor + (1)"),
    "more parentheses": ("x.dim() > 1", "((x.dim()) > (1))"),
    "another spelling of a number": ("2.0", "2."),
    "a type comment": ("self.factor = factor", "self.factor = factor  # type: float"),
    "a semicolon": ("super().__init__()\n        self", "super().__init__(); self"),
    "a line that goes on": ("x.dim() > 1", "x.dim() \\\n            > 1"),
}

DIFFERENT = {
    "a name": ("self.factor", "self.scale"),
    "an argument's name": ("forward(self, x,", "forward(self, y,"),
    "a class name": ("class Scale", "class Shift"),
    "a number": ("+ 1", "+ 2"),
    "the type of a number": ("+ 1", "+ 1.0"),
    "the sign of a number": ("+ 1", "+ -1"),
    "a truth value": ("+ 1", "+ True"),
    "a text": ('name="x"', 'name="y"'),
    "bytes": ('name="x"', 'name=b"x"'),
    "the order of operands": ("x * self.factor", "self.factor * x"),
    "how operands group": ("(x * self.factor) + 1", "x * (self.factor + 1)"),
    "an operator": ("(x * self", "(x / self"),
    "a comparison": ("> 1", ">= 1"),
    "the order of statements": (
        "super().__init__()\n        self.factor = factor",
        "self.factor = factor\n        super().__init__()",
    ),
    "a default": ("factor=2.0", "factor=3.0"),
    "no default": ("factor=2.0", "factor"),
    "a default of a named argument": ('*, name="x"', "*, name"),
    "a named argument": ("x, *, name", "x, name"),
    "no decorator": ("    @torch.no_grad()\n", ""),
    "another decorator": ("@torch.no_grad()", "@torch.enable_grad()"),
    "a base": ("class Scale(torch.nn.Module)", "class Scale(torch.nn.Sequential)"),
    "a value of an f-string": ("{name}", "{self}"),
    "a text of an f-string": (" rows", " columns"),
    "a conversion": ("!r", "!s"),
    "a format": (":>10", ":<10"),
    "an import": ("import torch", "import torch as t"),
    "an annotation": ("forward(self, x,", "forward(self, x: int,"),
    "a text that is no docstring": ("        return", '        "done"\n        return'),
    "async": ("    def forward", "    async def forward"),
    "a statement in a block": ('rows")\n        return', 'rows")\n            return'),
}


def changed(old: str, new: str) -> str:
    assert CODE.count(old) >= 1
    return CODE.replace(old, new)


@pytest.mark.parametrize("change", SAME.values(), ids=SAME.keys())
def test_what_does_not_change_the_meaning_does_not_change_the_hash(change: tuple[str, str]) -> None:
    assert ast.parse(changed(*change))
    assert code_hash(changed(*change)) == code_hash(CODE)


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT.keys())
def test_what_changes_the_meaning_changes_the_hash(change: tuple[str, str]) -> None:
    assert ast.parse(changed(*change))
    assert code_hash(changed(*change)) != code_hash(CODE)


def test_the_normal_form_is_the_tree_field_by_field() -> None:
    form = "Module(body=[Assign(targets=[Name(id='x',),],value=BinOp(left=Name(id='a',),op=Add(),right=0x1,),),],)"

    assert normal_form("x = a + 1  # more") == form
    assert code_hash("x = a + 1") == hashlib.sha256(form.encode()).hexdigest()[:16]


def test_a_body_that_was_a_docstring_alone_is_empty() -> None:
    assert normal_form('class A:\n    "doc"') == "Module(body=[ClassDef(name='A',body=[],),],)"
    assert code_hash('class A:\n    "doc"') != code_hash("class A:\n    pass")


def test_code_that_does_not_parse_is_its_lines_without_trailing_space() -> None:
    assert normal_form("def f(:\n\n  x = 1  \n\t\n") == "unparsed\ndef f(:\n  x = 1"
    assert code_hash("def f(:\n\n  x = 1  \n") == code_hash("def f(:\n  x = 1")
    assert code_hash("def f(:\n  x = 1") != code_hash("def f(:\n  x = 2")
    assert code_hash("def f(:\n  x = 1") != code_hash("def f(:\nx = 1")


def test_a_parsed_code_is_never_the_text_of_an_unparsed_one() -> None:
    assert code_hash(normal_form("x = 1")) != code_hash("x = 1")


def test_constants_of_equal_value_and_other_type_differ() -> None:
    hashes = [code_hash(f"x = {constant}") for constant in ("1", "1.0", "True", "1j", "'1'", "b'1'", "None", "...")]

    assert len(set(hashes)) == 8


def test_neighbouring_texts_of_an_f_string_are_joined() -> None:
    a = ast.Name("a")
    parts = f_string_parts([ast.Constant("x"), ast.Constant(""), ast.Constant("y"), a, ast.Constant("")])

    assert [ast.unparse(part) for part in parts] == ["'xy'", "a"]


@given(st.text() | st.text("fdef x(): '\"{}\n\\#=1", max_size=30))
@settings(deadline=None)
def test_no_text_is_without_a_normal_form(code: str) -> None:
    assert normal_form(code).startswith(("Module(", "unparsed\n"))
    assert len(code_hash(code)) == 16
