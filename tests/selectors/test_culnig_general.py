"""Culture-general neurons are those of the plain reference."""

import pytest

from culture_lens.selectors import select
from tests.helpers import reference_culnig as reference
from tests.helpers.culnig import as_culnig, drawn, members

GENERAL_OPTIONS = [
    {},
    {"mlp_share": 0.05},
    {"mlp_share": 1.0},
    {"attention_share": 0.03},
    {"countryrc_mlp_share": 0.2},
    {"countryrc_attention_share": 0.2},
    {"mlp_share": 0.1, "attention_share": 0.1, "countryrc_mlp_share": 1.0},
]


@pytest.mark.parametrize("options", GENERAL_OPTIONS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_general_neurons_are_those_of_the_reference(seed, options):
    for n_ids, steps in ((7, 0), (8, 2), (1, 1)):
        tables = drawn(seed, steps=steps)
        found = select(as_culnig(tables, n_ids), "culnig_general", **options)
        expected = reference.culture_general(*tables, n_ids, n_ids, **options)
        assert members(found) == {"general": expected}, (n_ids, steps)


def test_shares_move_general_neurons_one_family_at_a_time():
    """Each of the four shares is felt by its own family only."""
    tables = drawn(5)
    wide = {"mlp_share": 0.2, "attention_share": 0.2}
    before = reference.culture_general(*tables, 8, 8, **wide)
    for option, family in (
        ("mlp_share", ("gate",)),
        ("attention_share", ("q", "k", "v")),
        ("countryrc_mlp_share", ("gate",)),
        ("countryrc_attention_share", ("q", "k", "v")),
    ):
        options = {**wide, option: 0.07}
        found = members(select(as_culnig(tables, 8), "culnig_general", **options))["general"]
        changed = {site for site, _, _ in found ^ before}
        assert changed and changed <= set(family), option
