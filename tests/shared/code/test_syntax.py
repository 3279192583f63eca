import ast
import gc
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.shared.code.syntax import entry_point, method, module_classes, parse
from tests.imports import ROOT

SUPPORTED = ("3.11", "3.12", "3.13")
READ_ALL = """
import json, sys
from stages.shared.code.code_hash import code_hash
from stages.shared.code.syntax import parse
codes = json.load(sys.stdin)
json.dump(["%d.%d" % sys.version_info[:2], [[parse(code) is not None, code_hash(code)] for code in codes]], sys.stdout)
"""
# Code, whether it parses, and its hash, on every supported Python.
READINGS = [
    # f-strings: what only PEP 701 allows in a field
    ('x = f"{a["b"]}"', False, "05ca7b9207393412"),
    ("x = f'{a[\"b\"]}'", True, "a2cd47606dc2238a"),
    ('x = f"{f"{a}"}"', False, "5d2f13ec66956d82"),
    ("x = f'''{f\"{f'{a}'}\"}'''", True, "7ad9c5f682f9bbc6"),
    ('x = f"{chr(10).join(a)}{{}}"', True, "0e8dfeaa171ef624"),
    ("x = f\"{'\\n'.join(a)}\"", False, "1a464794c9714c94"),
    ("x = f'''{a}\\\n{b}\\n'''", True, "601939e4b65886f9"),
    ('x = f"{a # c\n}"', False, "9244409e0e5db17d"),
    ('x = f"""{\na  # c\n}"""', False, "35671d4a0e245c19"),
    ('x = f"""{\na\n}"""', True, "c495b409d32fc889"),
    ('x = f"{\na\n}"', False, "adf1f743e6580590"),
    ('x = rf"\\d{a}\\N{b}"', True, "7001c2f302f81c57"),
    ('x = f"\\N{DIGIT ONE}\\x41{a}"', True, "e445f9516ee3f944"),
    ("x = f\"{'#'}\" '#' f'{b}'", True, "f246e8d312356e7f"),
    ('x = f"{a = !r}"', True, "f17bc6dd16490647"),
    ('x = f"{a!r }"', False, "7ea8ac4ad1bc2234"),
    ('x = f"{*a}"', False, "5ef148bd97050051"),
    ('x = f"{*a,}"', True, "af47829a917d760c"),
    ('x = f"{b for b in a}"', False, "fd6e7ffb12ed37dc"),
    ('x = f"{(b for b in a)}"', False, "d6bea0e790fc6766"),
    ('x = f"{a if b else c}{(lambda: 1)()}"', True, "6bddfa46c55f22f8"),
    ('x = f"" f"a" "b" f"{c}" ""', True, "12ac0ee31b8c082a"),
    # format specs
    ('x = f"{a:>{b}.{c}}"', True, "8fff3512f3987839"),
    ('x = f"{a:{b:{c}}}"', False, "e2792f231b730d70"),
    ('x = f"{a:{{b}}}"', False, "3f2865c7180056b5"),
    ('x = f"{a:%H:%M}{d[1:2]}"', True, "e9710284d51e9c65"),
    ('x = f"{a:\\n}"', True, "5fbeabf1fbca6b30"),
    ('x = rf"{a:\\n}"', False, "7042ad3515813524"),
    ("x = f'{a:{\"x\"}}'", True, "48c6c3f4ee087ddf"),
    ('x = f"{a:{"x"}}"', False, "5021c6d817f558d3"),
    # characters that end a line for `splitlines` alone
    ("y = '\x1c\u2028'; x = f'{a[\"b\"]}'", True, "0cf992f8816a939d"),
    ("\x0cy = 1\rx = f'{a[\"b\"]}\\n'\r\nz = 2", True, "a8e762a75de25c26"),
    ('x = f"{\ra}"', False, "6a7e9aecc0d7b35f"),
    # statements and expressions
    (
        'match a:\n    case {"k": [1, *b], **c} | C(x=-1 + 2j) if b:\n        pass\n    case _:\n        pass',
        True,
        "c72d61b77c4fbbba",
    ),
    ("match = case = type = 1\nmatch(case), type(match)", True, "528b070f94ef5eeb"),
    ("while (a := f(b)) > (c := 1):\n    pass", True, "3ea787a3bd8c2bfc"),
    ("a := 1", False, "5d9dd0c9475c3dab"),
    ("@a.b[c]\n@(lambda f: f)\n@d if e else g\nclass C(B, metaclass=M):\n    x: int = 1", True, "9c143bb4b2286e0a"),
    ("try:\n    pass\nexcept* (A, B) as e:\n    pass", True, "cb3ad6fa03452245"),
    ("try:\n    pass\nexcept* A:\n    pass\nexcept B:\n    pass", False, "b841f14dbed2e938"),
    ("type X = int", False, "9b47830eec38ae9a"),
    ("def f[T](x: T) -> T:\n    return x", False, "aa708aeee4b1a40f"),
    ("class C[T = int]: pass", False, "c345c37ea8e65379"),
    ('def f(a, /, b=1, *c, d, e=2, **g): return a[b:c, ::d, ...], {**e, "k": g}, [*a, *b]', True, "868e614857f0ab18"),
    (
        "async def f():\n    async with a as b, c:\n        return [d async for d in e if await d]",
        True,
        "ed68b8dc94fdf74f",
    ),
    ("with (a as b, c as d):\n    del e, g[0]", True, "c4f90c71c42bbb27"),
    ("x = a if b", False, "56b7ea7c07c7f9ef"),
    ('print "a"', False, "76954a82db1d057b"),
    # constants
    ('x = "\\d"; y = b"\\d"; z = "\\777"', True, "5c93886232316163"),
    ('x = "\\N{no such character}"', False, "cb7282f0a5761d0e"),
    ('x = "\\ud800"; y = "\ue000\U0001fae8"', True, "409749c7270a8d6c"),
    ("x = '\ud800'", False, "7dbe5f084effc8bd"),
    ("x = 1\x00", False, "7103bb22048cf5b0"),
    ("# \x00\nx = 1", False, "60b9e4913d9a7296"),
    ("\ufeffx = 1", False, "97feb1593038a764"),
    ("x = " + "9" * 4300, True, "81e58045fdcedd5e"),
    ("x = " + "9" * 4301, False, "57b28f4b211d5b31"),
    ("x = 0x" + "f" * 5000, True, "c0bd2e586600eb01"),
    ("x = 1e400, -0.0, 1_000, 0o17, 1j, True, None, ...", True, "e29e7de63697a569"),
    ("x = [0x1for x in y], 1if y else 2", True, "d1449492d3812f2d"),
    ("\ufb01 = \u212b = 1", True, "acd665b274357be5"),
    # depth
    ("x = " + "(" * 199 + ")" * 199, True, "54ca68788a5b94cf"),
    ("x = " + "(" * 300 + ")" * 300, False, "e300c24a3c782114"),
    ("x = " + "-" * 290 + "a", True, "744ee5f704ab0f72"),
    ("x = " + "-" * 310 + "a", False, "5267217a5b7c15d0"),
    ("x = " + "a + " * 2990 + "a", False, "4cfcf397768bf970"),
    ("x = " + "a + " * 20000 + "a", False, "2a4e8b8054f7e741"),
    ("if a:\n    pass\n" + "elif b:\n    pass\n" * 290, True, "11751546132c372e"),
    ("if a:\n    pass\n" + "elif b:\n    pass\n" * 400, False, "6950760b811ea713"),
    ("", True, "8d45bb6a03fb1a08"),
    ("   ", True, "8d45bb6a03fb1a08"),
]


def read_with(python: str, version: str) -> list[list[object]] | None:
    """What an interpreter makes of the codes; None where the command is not a Python of that version.

    The modules need the standard library alone. A shim of pyenv runs the version that PYENV_VERSION names.
    """
    environment = {**os.environ, "PYENV_VERSION": version, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    codes = json.dumps([code for code, _, _ in READINGS])
    command = [python, "-X", "utf8", "-c", READ_ALL]
    done = subprocess.run(command, input=codes, capture_output=True, text=True, env=environment, check=False)
    if done.returncode == 127:
        return None
    assert done.stderr == ""
    found, readings = json.loads(done.stdout)
    assert isinstance(readings, list)
    return readings if found == version else None


def test_every_supported_python_reads_code_alike() -> None:
    """The Python that runs the tests, and each other supported one that this machine has."""
    current = "{}.{}".format(*sys.version_info)
    interpreters = {version: shutil.which(f"python{version}") for version in SUPPORTED} | {current: sys.executable}
    readings = {version: read_with(python, version) for version, python in interpreters.items() if python}

    expected = [[parses, code_hash] for _, parses, code_hash in READINGS]
    assert readings[current] == expected
    for version, found in readings.items():
        assert found in (expected, None), f"Python {version}"


def test_nothing_is_executed_or_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse("raise SystemExit('\\d' is 1)") is not None


@given(st.text() | st.text("fr'\"{}[]()\\:!= \nab#", max_size=20))
@settings(deadline=None)
def test_no_text_breaks_the_parser(code: str) -> None:
    tree = parse(code)

    assert tree is None or isinstance(tree, ast.Module)


MODULES = """
class Helper: ...
class Block(nn.Module): ...
class Head(torch.nn.Module): ...
class Wide(Head, Mixin): ...
class Early(Later): ...
class Later(Module): ...
def f():
    class Inner(nn.Module): ...
"""


def test_modules_are_the_classes_that_derive_from_module_in_order() -> None:
    assert [node.name for node in module_classes(ast.parse(MODULES))] == ["Block", "Head", "Wide", "Later"]


@pytest.mark.parametrize(
    ("code", "name"), [(MODULES, "Later"), ("class A: pass", None), ("", None), ("class A(Module):", None)]
)
def test_the_entry_point_is_the_last_module(code: str, name: str | None) -> None:
    assert entry_point(code) == name


def test_of_two_methods_with_one_name_the_last_counts() -> None:
    owner = module_classes(ast.parse("class A(Module):\n def f(self): 1\n def f(self, x): 2\n def g(self): 3"))[0]

    found = method(owner, "f")
    assert found is not None
    assert ast.unparse(found) == "def f(self, x):\n    2"
    assert method(owner, "forward") is None


def test_threads_may_parse_at_the_same_time() -> None:
    """Python 3.11 raises a SystemError when a thread that collects garbage lets another build its tree."""
    code = "\n".join(f"x{i} = f(a[{i}], lambda y: (y + [1, 2, 3][0]))" for i in range(60))

    def give_way(_phase: str, _info: dict[str, int]) -> None:
        time.sleep(0.0001)

    before = gc.get_threshold()
    gc.callbacks.append(give_way)
    gc.set_threshold(100)
    try:
        with ThreadPoolExecutor(4) as pool:
            trees = list(pool.map(parse, [code] * 12))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(give_way)

    assert {ast.dump(tree) for tree in trees if tree} == {ast.dump(ast.parse(code))}
    assert None not in trees
