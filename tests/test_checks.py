"""Checks of arguments: what passes, what is refused, and with which sentence."""

import numpy as np
import pytest

from culture_lens.checks import (
    SEED,
    any_names,
    any_text,
    check_arguments,
    check_fields,
    each,
    either,
    file_path,
    finite,
    flag,
    instance,
    mapping,
    names,
    optional,
    real,
    text,
    whole,
)
from culture_lens.errors import InputError, listed, unknown

PASS = [
    (whole(1), np.int64(3), 3),
    (whole(0, 5), 5, 5),
    (SEED, 0, 0),
    (real, np.float32(0.5), 0.5),
    (real, 1, 1),
    (real, float("inf"), float("inf")),
    (finite, np.float64(-0.5), -0.5),
    (flag, np.bool_(True), True),
    (text, "Côte d'Ivoire", "Côte d'Ivoire"),
    (any_text, "", ""),
    (names, "act", ("act",)),
    (names, ["q", "k"], ("q", "k")),
    (any_names, (), ()),
    (file_path, "runs/first", "runs/first"),
    (optional(whole(1)), None, None),
    (each(whole(0)), (n for n in (1, 2)), [1, 2]),
    (mapping(whole(0)), {"a": 1}, {"a": 1}),
    (instance(int, str), "a", "a"),
    (instance("int"), True, True),  # by the name of its class, or of one that it is made from
    (either(whole(), names, remedy="either"), "act", ("act",)),
]
REFUSED = [
    (whole(1), 0, "k=0: give a whole number of 1 or more."),
    (whole(0, 5), 6, "k=6: give a whole number from 0 to 5."),
    (whole(), True, "k=True: give a whole number."),
    (whole(), 1.0, "k=1.0: give a whole number."),
    (whole(), "1", "k='1': give a whole number."),
    (whole(), [1], "k=a list: give a whole number."),
    (finite, float("nan"), "k=nan: give a finite number."),
    (finite, float("inf"), "k=inf: give a finite number."),
    (finite, None, "k=None: give a number."),
    (real, False, "k=False: give a number."),
    (real, 1j, "k=a complex: give a number."),
    (flag, 1, "k=1: give True or False."),
    (text, " ", "k=' ': give a string that is not blank."),
    (any_text, None, "k=None: give a string."),
    (any_text, "\ud800", "without lone surrogates"),
    (names, [], "k is empty: give at least one name, or leave it out."),
    (names, ["a", ""], "k[1]='': give a string that is not blank."),
    (names, 3, "k=3: give a name, or a list of names."),
    (file_path, "", "k='': give the path of a file or folder."),
    (file_path, "a\0b", "give the path of a file or folder."),
    (each(whole(0)), "12", "k='12': give a list."),
    (each(whole(0)), [1, -1], "k[1]=-1: give a whole number of 0 or more."),
    (mapping(whole(0)), [1], "k=a list: give a mapping of names."),
    (mapping(whole(0)), {"a": None}, "k['a']=None: give a whole number of 0 or more."),
    (mapping(whole(0)), {1: 1}, "a key of k=1: give a string that is not blank."),
    (instance(int, str), 2.5, "k=2.5: give an int or a str."),
    (instance("Evaluation"), 2, "k=2: give an Evaluation."),
    (either(whole(), names, remedy="one or the other"), None, "k=None: give one or the other."),
]


@pytest.mark.parametrize(("check", "value", "wanted"), PASS)
def test_what_passes_is_given_back_as_python_has_it(check, value, wanted):
    got = check("k", value)
    assert got == wanted and type(got) is type(wanted)


@pytest.mark.parametrize(("check", "value", "told"), REFUSED)
def test_what_is_refused_is_named_with_a_remedy(check, value, told):
    with pytest.raises(InputError) as refusal:
        check("k", value)
    assert told in str(refusal.value)


def test_long_values_are_cut_in_messages():
    with pytest.raises(InputError) as refusal:
        whole()("k", "x" * 1000)
    assert len(str(refusal.value)) < 120


def test_arguments_are_checked_by_name_wherever_they_stand():
    @check_arguments(k=whole(1), items=each(str))
    def top(items, k=0, **others):
        return items, k, others

    assert top(iter("ab"), 2, z=1) == (["a", "b"], 2, {"z": 1})
    assert top(["a"]) == (["a"], 0, {})  # the default is not checked
    for call in (lambda: top(["a"], 0), lambda: top(k=0, items=["a"])):
        with pytest.raises(InputError, match="k=0"):
            call()
    with pytest.raises(TypeError, match="items"):
        top(k=1)


def test_fields_are_replaced_by_what_the_checks_give():
    class Record:
        def __init__(self, sites):
            self.sites = sites

    record = Record("act")
    check_fields(record, "here: ", sites=names)
    assert record.sites == ("act",)
    with pytest.raises(InputError, match="here: sites=3"):
        check_fields(Record(3), "here: ", sites=names)


def test_messages_list_so_many_names_and_no_more():
    assert listed(["a", "b"]) == "a, b"
    message = str(unknown("column", "x", map(str, range(100_000))))
    assert len(message) < 1000 and "..." in message
