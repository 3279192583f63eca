import ast

import pytest

from stages.shared.code.code_hash import code_hash
from stages.shared.specs.prose import literal, phrase, steps


def said(expression: str) -> str:
    return phrase(ast.parse(expression, mode="eval").body)


def told(code: str) -> list[str]:
    return list(steps(ast.parse(code).body))


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("x", "`x`"),
        ("2.5", "2.5"),
        ("self.weight", "its `weight`"),
        ("torch.nn.functional.relu", "torch nn functional relu"),
        ("x.shape", "the shape of `x`"),
        ("a + b * c", "(`a` plus (`b` times `c`))"),
        ("(a + b) * c", "((`a` plus `b`) times `c`)"),
        ("a @ b // c ** -d", "((`a` matrix-multiplied by `b`) integer-divided by (`c` to the power of (minus `d`)))"),
        ("a and b or not c", "((`a` and `b`) or (not `c`))"),
        ("a < b <= c", "(`a` is less than `b` and is at most `c`)"),
        ("a if b else c", "(`a` if `b`, otherwise `c`)"),
        ("x[:, 1:2, ::3, None]", "`x` at [tuple (all, from 1 to 2, by 3, None)]"),
        ("(a, b), [c]", "the pair (the pair (`a`, `b`), list (`c`))"),
        ("f(a, *b, c=d, **e)", "`f` of (`a`, all of `b`, c = `d`, all named in `e`)"),
        ("torch.softmax(x, dim=-1)", "softmax of (`x`, dim = (minus 1))"),
        ("x.view(-1).sum()", "the sum of the view of `x` with ((minus 1))"),
        ("self.conv(x)", "its `conv` applied to (`x`)"),
        ('f"{a}b{c:>{d}}"', "the text (`a`, 'b', `c` formatted as the text ('>', `d`))"),
        ("lambda y: y + 1", "lambda (arguments (arg ('y')), (`y` plus 1))"),
        ("[i for i in x if i]", "listcomp (`i`, comprehension (`i`, `x`, `i`, 0))"),
        ("{a: b}", "dict (`a`, `b`)"),
    ],
)
def test_an_expression_in_words(expression: str, words: str) -> None:
    assert said(expression) == words


def test_no_expression_is_nothing() -> None:
    assert phrase(None) == "nothing"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "1"),
        (True, "True"),
        ("it's", '"it\'s"'),
        ("\u00e9\n\U0001fae8", '"\u00e9\\n\U0001fae8"'),
        (b"\xff", "b'\\xff'"),
        (2**255, str(2**255)),
        (16**70, "0x1" + "0" * 70),
    ],
)
def test_a_constant_is_written_alike_on_every_python(value: object, words: str) -> None:
    assert literal(value) == words


STATEMENTS = '''
def forward(self, x, *, scale=2, **rest):
    """Scales."""
    super().__init__()
    y: int = 1
    a = b = x
    x[0] += y
    if x > 0:
        return x
    elif y:
        pass
    else:
        raise ValueError("no")
    for i in range(3):
        self.layer(i)
    else:
        assert x
    while True:
        break
    with torch.no_grad() as g, h:
        del x
    try:
        f(x)
    except (A, B):
        continue
    finally:
        g()
    match x:
        case [1, *z] if z:
            return None
    return
'''


def test_statements_are_told_one_by_one_and_blocks_are_indented() -> None:
    assert told(STATEMENTS) == [
        "- Let `forward` of (`self`, `x`, *, `scale` = 2, **`rest`) be:",
        "  - Set `y` to 1.",
        "  - Set `a` and `b` to `x`.",
        "  - Change `x` at [0] in place to itself plus `y`.",
        "  - If (`x` is greater than 0):",
        "    - Return `x`.",
        "  - Otherwise:",
        "    - If `y`:",
        "      - pass ().",
        "    - Otherwise:",
        "      - Fail with `ValueError` of ('no').",
        "  - For each `i` in `range` of (3):",
        "    - Do its `layer` applied to (`i`).",
        "  - Otherwise:",
        "    - Require that `x`.",
        "  - While True:",
        "    - break ().",
        "  - Within no_grad of () as `g` and `h`:",
        "    - delete (`x`).",
        "  - try ():",
        "    - Do `f` of (`x`).",
        "  - On the pair (`A`, `B`):",
        "    - continue ().",
        "  - In the end:",
        "    - Do `g` of ().",
        "  - Depending on `x`:",
        "  - If it is matchsequence (matchvalue (1), matchstar ('z')) and `z`:",
        "    - Return None.",
        "  - Return nothing.",
    ]


OTHER_MEANINGS = [
    ("a - b", "b - a"),
    ("(a - b) - c", "a - (b - c)"),
    ("a * b + c", "a * (b + c)"),
    ("x.sum(0)", "x.sum(1)"),
    ("f(a, b)", "f((a, b))"),
    ("f(a)(b)", "f(a(b))"),
    ("f(x=1)", "f(y=1)"),
    ("1", "1.0"),
    ("a < b < c", "(a < b) < c"),
    ("not (a and b)", "(not a) and b"),
    ("-a ** b", "(-a) ** b"),
    ("x[a, b]", "x[a][b]"),
    ("(a,)", "[a]"),
    ("f'{a}{b}'", "f'{a + b}'"),
    ("f'{a}'", "'a'"),
    ("f'{a:>1}'", "f'{a:>2}'"),
    ("f'{a!r}'", "f'{a!s}'"),
    ("a if b else c", "c if b else a"),
    ("lambda x: x", "lambda y: y"),
    ("lambda x=1: x", "lambda x=2: x"),
    ("[i for i in x]", "{i for i in x}"),
    ("x.shape", "self.shape"),
    ("'`a`'", "a"),
]


@pytest.mark.parametrize(("one", "other"), OTHER_MEANINGS)
def test_another_meaning_has_other_words(one: str, other: str) -> None:
    assert code_hash(one) != code_hash(other)
    assert said(one) != said(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1\ny = 2", "y = 2\nx = 1"),
        ("x += 1", "x -= 1"),
        ("x = y", "x == y"),
        ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
        ("if a:\n    b()\nelse:\n    c()", "if a:\n    c()\nelse:\n    b()"),
        ("for i in x:\n    pass\nelse:\n    f()", "for i in x:\n    pass\nf()"),
        ("with a as b:\n    pass", "with a as c:\n    pass"),
        ("try:\n    a()\nexcept A:\n    b()", "try:\n    a()\nexcept A:\n    c()"),
        ("try:\n    a()\nexcept A:\n    b()\nelse:\n    c()", "try:\n    a()\nexcept A:\n    b()"),
        ("try:\n    a()\nexcept A as e:\n    b()", "try:\n    a()\nexcept A as f:\n    b()"),
        ("raise A from b", "raise A"),
        ("assert a, b", "assert a"),
        ("@a\ndef f(): pass", "def f(): pass"),
        ("def f(a=1, b=2): pass", "def f(a=2, b=1): pass"),
        ("def f(a, b): pass", "def f(a, *, b): pass"),
        ("def f(*, a=1, b): pass", "def f(*, a, b=1): pass"),
        ("def f(*a): pass", "def f(**a): pass"),
        ("def f(a, /, b): pass", "def f(a, b, /): pass"),
        ("@a\nclass A: pass", "class A: pass"),
        ("class A(B): pass", "class A(C): pass"),
        ("async with a: b()", "with a: b()"),
        ("class A:\n    x = 1", "class A:\n    x = 2"),
        ("async for i in x: a()", "async for i in x: b()"),
        ("async def f(): a()", "def f(): a()"),
    ],
)
def test_statements_of_another_meaning_have_other_words(one: str, other: str) -> None:
    assert code_hash(one) != code_hash(other)
    assert told(one) != told(other)
