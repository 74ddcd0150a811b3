"""Made-up value questions and answers of people, in the layout of WorldValuesBench."""

import pandas as pd

from culture_lens.evaluation.values.people import HumanValues
from culture_lens.evaluation.values.prompts import value_questions
from culture_lens.evaluation.values.questions import ValueQuestion

FAMILY = ValueQuestion("Q1", "On a scale of 1 to 4, how important is family?", 1, 4, "Social")
JOBS = ValueQuestion("Q122", "On a scale of 0 to 2, do immigrants fill jobs?", 0, 2, "Migration")
FREE = ValueQuestion("Q48", "On a scale of 1 to 10, how free is your choice?", 1, 10, "Happiness")
ASKED = (FAMILY, JOBS, FREE)


def metadata_of(question, **changes):
    return {
        "question": question.text,
        "category": question.category,
        "use_case": "value",
        "answer_scale_min": question.low,
        "answer_scale_max": question.high,
        "answer_data_type": "ordinal",
    } | changes


def people(**columns):
    """One row per person, Peru's first; cells as a tsv file has them."""
    rows = {
        "D_INTERVIEW": ["1", "2", "3", "4", "5"],
        "B_COUNTRY": ["Peru", "Peru", "Peru", "Japan", "Japan"],
        "Q1": ["1", "1", "2", "4", "4"],
        "Q122": ["0", "2", "2", "1", "1"],
        "Q48": ["10", "9", "10", "5", "5"],
    }
    return pd.DataFrame(rows | columns, dtype=object)


HUMANS = HumanValues(
    {
        "Peru": {"Q1": (2, 1, 0, 0), "Q122": (1, 0, 2), "Q48": (0,) * 8 + (1, 2)},
        "Japan": {"Q1": (0, 0, 0, 2), "Q122": (0, 2, 0), "Q48": (0,) * 4 + (2,) + (0,) * 5},
    }
)


def asked_of_cultures(**options):
    """Whoever answered, be they two."""
    return value_questions(ASKED, HUMANS, **{"least_answers": 1, **options})
