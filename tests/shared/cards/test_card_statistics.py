from collections import Counter

from stages.shared.cards.card_statistics import lengths_text, rewards_text, seq_len_marks, sources_table, verdicts_text
from stages.shared.length_stats import length_stats


def test_rewards_in_words() -> None:
    assert rewards_text([]) == "No rewards."
    assert rewards_text([], 1) == "No rewards. 1 row without."
    assert rewards_text([1.0, 2.0, 0.9]) == "From 0.900 to 2.000, 1.300 on average, median 1.000."
    assert rewards_text([0.5], 1200) == "From 0.500 to 0.500, 0.500 on average, median 0.500. 1,200 rows without."


def test_lengths_in_words() -> None:
    assert lengths_text(length_stats([])) == "No tokens."
    text = lengths_text(length_stats([1500, 3000]))

    total, percentiles, packing, packed = text.split("\n\n")
    assert total == "4,500 tokens through the chat template, 2,250 a row on average."
    assert percentiles.splitlines() == [
        "| 50 % | 75 % | 90 % | 95 % | 99 % | 99.5 % | 99.9 % | 100 % |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| 1,500 | 3,000 | 3,000 | 3,000 | 3,000 | 3,000 | 3,000 | 3,000 |",
    ]
    assert packing.startswith("The smallest multiples of 1,024 that hold 99, 99.5 and 100 % of the rows")
    assert packed.splitlines() == [
        "| seq_len | rows that fit | packed sequences | filled |",
        "| ---: | ---: | ---: | --- |",
        "| 3,072 | 2 | 2 | 73.2% |",
    ]


def test_the_mark_says_what_the_length_holds() -> None:
    assert seq_len_marks(length_stats([])) == {}
    assert seq_len_marks(length_stats([1500, 3000])) == {"seq_len 3,072 holds all": 3072}
    assert seq_len_marks(length_stats([100] * 999 + [5000])) == {"seq_len 1,024 holds 99 %": 1024}


def test_verdicts_and_flags() -> None:
    assert verdicts_text(Counter({"wrong": 1, "ok": 2}), Counter()).splitlines()[2:] == ["| ok | 2 |", "| wrong | 1 |"]
    assert "| no_launch | 3 |" in verdicts_text(Counter({"ok": 5}), Counter({"no_launch": 3}))


def test_sources_are_told_in_order_with_their_revision() -> None:
    assert sources_table({("b/c/x.parquet", "f" * 40): 2, ("b/c/x.parquet", None): 1, ("a.jsonl", None): 3}) == (
        "| source | revision | rows |\n| --- | --- | ---: |\n"
        f"| a.jsonl |  | 3 |\n| b/c/x.parquet |  | 1 |\n| b/c/x.parquet | {'f' * 40} | 2 |"
    )
