"""Rows of a user's own table."""

COINS = ["yen", "won", "peso"]


def row(culture="Japan", answer="A", options=COINS, **other):
    return {"culture": culture, "question": f"Coin of {culture}?", "options": options,
            "answer": answer, **other}  # fmt: skip


ROWS = [row(), row("South Korea", "B"), row("Mexico", "C")]
