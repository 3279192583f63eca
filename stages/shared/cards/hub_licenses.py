"""Licences of rows: how the Hub spells them, and what a card says of them."""

import json
import re
from collections import Counter
from collections.abc import Mapping

from stages.shared.cards.markdown import markdown_table, python_block, rows_text

Licenses = Mapping[tuple[str, ...], int]
"""Rows by the licences that they name; an empty tuple where they name none."""
_PERMISSIVE = """
apache-2.0 mit afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear cc0-1.0 cc-by-2.0
cc-by-2.5 cc-by-3.0 cc-by-4.0 cdla-permissive-1.0 cdla-permissive-2.0 ecl-2.0 etalab-2.0 isc ncsa odc-by pddl
postgresql unlicense wtfpl zlib
"""
_COPYLEFT = """
agpl-3.0 gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 lgpl-lr gfdl mpl-2.0 epl-1.0 epl-2.0 eupl-1.1 eupl-1.2 osl-3.0
ms-pl odbl cdla-sharing-1.0 cc-by-sa-3.0 cc-by-sa-4.0
"""
_OTHER_TERMS = """
apple-amlr apple-ascl bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m c-uda cc cc-by-nc-2.0
cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
cc-by-nd-4.0 creativeml-openrail-m deepfloyd-if-license fair-noncommercial-research-license gemma h-research
intel-research llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c ofl-1.1 openmdw-1.0 openrail openrail++
unknown other
"""
PERMISSIVE, COPYLEFT, OTHER_TERMS = (frozenset(names.split()) for names in (_PERMISSIVE, _COPYLEFT, _OTHER_TERMS))
"""The three together are the Hub's list: https://huggingface.co/docs/hub/repositories-licenses."""

_PLACES = (
    "The code of a row's module stays under the licence of the repository that it comes from, also where prompt and "
    "answer quote it or follow it: `{place}licenses` names it row by row, `{place}repo_name`, `{place}sha` and "
    "`{place}repo_link` say where the code is from. What a model wrote may also be bound by the terms of its provider, "
    "which are not known here."
)
_KINDS = (
    "Permissive licences ask for attribution. Copyleft licences ask that what is derived from the code is shared under "
    "the same terms. Where no licence is named, no permission is known."
)


def hub_license(name: str) -> str:
    """The Hub's identifier of an SPDX identifier; `other` where its list has none.

    The Hub does not know SPDX's endings `-only` and `-or-later`.
    """
    folded = re.sub(r"-(only|or-later)$", "", name.strip().lower())
    return folded if folded in PERMISSIVE | COPYLEFT | OTHER_TERMS else "other"


def hub_licenses(licenses: Licenses) -> list[str]:
    """What the YAML of a card says; rows that name no licence are `unknown`."""
    return sorted({hub_license(name) for names in licenses for name in names or ("unknown",)})


def licenses_text(licenses: Licenses, place: str) -> str:
    """What is known of the licences of the rows, and how to choose among them.

    Args:
        licenses: of all rows.
        place: what comes before the names of the columns: `info.` or nothing.
    """
    by_name = Counter[str]()
    for names, n in licenses.items():
        by_name.update(dict.fromkeys(names or ("none named",), n))
    rows = sum(licenses.values())
    free = sum(n for names, n in licenses.items() if names and all(_kind(name) == "permissive" for name in names))
    allowed = sorted(name for name in by_name if _kind(name) == "permissive")
    parts = [
        _PLACES.format(place=place),
        markdown_table(["licence", "rows", "kind"], [(name, n, _kind(name)) for name, n in sorted(by_name.items())]),
        f"A row may name several. {rows_text(free)} of {rows:,} name permissive licences alone. {_KINDS}",
    ]
    if free and free < rows:
        parts += ["To keep the rows under permissive licences:", python_block(_filter(allowed, place))]
    return "\n\n".join(parts)


def _kind(name: str) -> str:
    known = hub_license(name)
    return "permissive" if known in PERMISSIVE else "copyleft" if known in COPYLEFT else "to be read"


def _filter(allowed: list[str], place: str) -> str:
    column, names = ("info", 'info["licenses"]') if place else ("licenses", "licenses")
    return (
        f"allowed = {{{', '.join(map(json.dumps, allowed))}}}\n"
        "dataset = dataset.filter(\n"
        f"    lambda {column}: bool({names}) and allowed.issuperset({names}), input_columns={json.dumps(column)}\n"
        ")"
    )
