"""Templates of CountryRC: the bundled ones read plainly, the published file, and some made up."""

from culture_lens.benchmarks.countryrc import countryrc_questions
from culture_lens.benchmarks.reading.rows import as_frame
from tests.helpers.marks import needs_data
from tests.helpers.places import DATA

PUBLISHED = DATA / "countryrc" / "data.json"
needs_published = needs_data("countryrc/data.json")


def made_template(name="t1", context="It came from {country}.", question="Where from?", **other):
    return {"id": name, "context": context, "question": question, **other}


def questions_of_templates(*rows, **options):
    return countryrc_questions(as_frame(list(rows)), **options)
