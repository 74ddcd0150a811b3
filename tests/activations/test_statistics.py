"""Streamed equals whole: update and merge are exact, for any order, batch size or split."""

import numpy as np
import pytest
import torch

from culture_lens.activations.statistics import ActivationStatistics, ItemStatistics, grouped
from culture_lens.activations.summary import ActivationSummary
from culture_lens.errors import InputError

ITEMS, LAYERS, WIDTH = 23, 2, 5
CULTURES = ["Japan", "Italy", "Peru", "Japan", "Peru"] * 4 + ["Italy", "Japan", "Peru"]


def rows(chosen=range(ITEMS), sites=("act", "q"), magnitudes=True, layers=LAYERS):
    """The same random statistics of each item, whatever items are asked for together."""
    source = torch.Generator().manual_seed(0)
    tokens = torch.randint(5, 40, (ITEMS,), generator=source)
    counts, sums, squares = {}, {}, {}
    for site in ("act", "q"):
        shape = (ITEMS, layers, WIDTH)
        share = torch.rand(shape, generator=source)
        counts[site] = (share * tokens[:, None, None]).int()
        sums[site] = torch.randn(shape, generator=source)
        squares[site] = sums[site] ** 2 + torch.rand(shape, generator=source)
    index = torch.tensor(list(chosen))

    def cut(values):
        return {site: values[site][index] for site in sites}

    return ItemStatistics(
        tokens=tokens[index],
        counts=cut(counts),
        sums=cut(sums) if magnitudes else {},
        squares=cut(squares) if magnitudes else {},
    )


def update(statistics, chosen, **options):
    chosen = [int(i) for i in chosen]
    statistics.update(rows(chosen, **options), [CULTURES[i] for i in chosen])


def accumulated(parts, **options):
    statistics = ActivationStatistics()
    for part in parts:
        update(statistics, part, **options)
    return statistics


def whole(**options):
    return accumulated([range(ITEMS)], **options).summary()


def assert_same(found: ActivationSummary, expected: ActivationSummary):
    assert found.cultures == expected.cultures
    assert torch.equal(found.items, expected.items)
    assert torch.equal(found.tokens, expected.tokens)
    assert set(found.counts) == set(expected.counts)
    for site, counts in expected.counts.items():
        assert found.counts[site].dtype == torch.int64
        assert torch.equal(found.counts[site], counts)
        for kind in ("sums", "squares"):
            a, b = getattr(found, kind)[site], getattr(expected, kind)[site]
            assert a.dtype == torch.float64
            assert ((a - b).abs() <= 1e-12 * b.abs().clamp(min=1)).all()


def test_totals_by_a_plain_loop():
    given, summary = rows(), whole()
    assert summary.cultures == ("Italy", "Japan", "Peru")
    for position, culture in enumerate(summary.cultures):
        members = [i for i in range(ITEMS) if CULTURES[i] == culture]
        assert summary.items[position] == len(members)
        total = sum(int(given.tokens[i]) for i in members)
        assert summary.tokens[position] == total
        for site in ("act", "q"):
            count = sum(given.counts[site][i].long() for i in members)
            value = sum(given.sums[site][i].double() for i in members)
            square = sum(given.squares[site][i].double() for i in members)
            assert torch.equal(summary.counts[site][position], count)
            assert torch.equal(summary.probability(site)[position], count.double() / total)
            mean = summary.mean(site)[position]
            assert torch.allclose(mean, value / total, rtol=1e-12, atol=0)
            variance = (square / total - mean**2).clamp(min=0)
            assert torch.allclose(summary.variance(site)[position], variance, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 7, 23])
@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_batch_size(size, seed):
    order = np.random.default_rng(seed).permutation(ITEMS)
    parts = [order[start : start + size] for start in range(0, ITEMS, size)]
    assert_same(accumulated(parts).summary(), whole())


@pytest.mark.parametrize("seed", range(5))
def test_any_split_merges_to_the_whole(seed):
    source = np.random.default_rng(seed)
    order = source.permutation(ITEMS)
    cuts = sorted(source.choice(range(1, ITEMS), size=3, replace=False))
    parts = [accumulated([part]) for part in np.split(order, cuts)]
    merged = ActivationStatistics()
    for part in parts:
        merged.merge(part if source.random() < 0.5 else part.summary())
    assert_same(merged.summary(), whole())
    # merging leaves what was merged as it was, and goes on from any state
    nested = parts[-1]
    before = nested.summary()
    for part in parts[:-1]:
        nested.merge(part)
    assert_same(nested.summary(), whole())
    assert before.items.sum() < ITEMS


def test_merging_does_not_tie_accumulators_together():
    first, second = accumulated([range(10)]), ActivationStatistics()
    expected = first.summary()
    second.merge(first)
    update(second, range(10, ITEMS))
    assert_same(first.summary(), expected)
    assert_same(second.summary(), whole())
    third, counts = ActivationStatistics(), expected.counts["act"].clone()
    third.merge(expected)  # a summary is frozen: what is added later must not reach it
    update(third, range(10, ITEMS))
    assert_same(third.summary(), whole())
    assert torch.equal(expected.counts["act"], counts)


def test_a_summary_does_not_change_when_counting_goes_on():
    statistics = accumulated([range(10)])
    frozen = statistics.summary()
    counts = frozen.counts["act"].clone()
    update(statistics, range(10, ITEMS))
    assert torch.equal(frozen.counts["act"], counts)


def test_counts_stay_exact_where_float32_does_not():
    big = 2**24 + 1
    counts = torch.full((2, 1, 1), big, dtype=torch.int64)
    statistics = ActivationStatistics()
    for _ in range(2):
        statistics.update(
            ItemStatistics(tokens=torch.tensor([big, big]), counts={"act": counts}), ["a", "a"]
        )
    assert statistics.summary().counts["act"].item() == 4 * big == int(statistics.summary().tokens)


def test_grouped_sums_in_the_wider_type():
    values = torch.full((3, 1), 2**31 - 1, dtype=torch.int32)
    index = torch.tensor([1, 1, 1])
    assert grouped(values, index, 2, torch.int64).flatten().tolist() == [0, 3 * (2**31 - 1)]


def test_save_and_load(tmp_path):
    summary = accumulated([range(ITEMS)]).summary({"model": "tiny", "groups": ["a", "ü"]})
    loaded = ActivationSummary.load(summary.save(tmp_path / "s.safetensors"))
    assert_same(loaded, summary)
    assert loaded.metadata == summary.metadata
    for kind in ("sums", "squares"):
        assert torch.equal(getattr(loaded, kind)["act"], getattr(summary, kind)["act"])
    without = whole(magnitudes=False)
    loaded = ActivationSummary.load(without.save(tmp_path / "t.safetensors"))
    assert loaded.sums == {} and torch.equal(loaded.counts["q"], without.counts["q"])


def test_a_damaged_summary(tmp_path):
    path = whole().save(tmp_path / "s.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="s.safetensors is damaged"):
        ActivationSummary.load(path)


def test_other_sites_are_refused():
    statistics, other = (
        accumulated([range(5)], sites=("act",)),
        accumulated([range(5)], sites=("q",)),
    )
    with pytest.raises(InputError, match=r"sites \['act'\] cannot be merged with.*\['q'\]"):
        statistics.merge(other)
    with pytest.raises(InputError, match="act.*q"):
        update(statistics, range(5), sites=("q",))


def test_other_shapes_are_refused():
    statistics, other = accumulated([range(5)]), accumulated([range(5)], layers=3)
    with pytest.raises(InputError, match=r"site 'act'.*\(3, 5\).*\(2, 5\).*different models"):
        statistics.merge(other)
    with pytest.raises(InputError, match="different models"):
        update(statistics, range(5), layers=3)


@pytest.mark.parametrize("first", [True, False])
def test_with_and_without_magnitudes_do_not_mix(first):
    """A mean over some of the counted tokens only would be wrong without a word."""
    statistics = accumulated([range(5)], magnitudes=first)
    other = accumulated([range(5, ITEMS)], magnitudes=not first)
    with pytest.raises(InputError, match="magnitudes"):
        statistics.merge(other)
    with pytest.raises(InputError, match="magnitudes"):
        update(statistics, range(5, ITEMS), magnitudes=not first)


def test_a_refused_update_or_merge_adds_nothing():
    statistics = accumulated([range(5)])
    expected = statistics.summary()
    poisoned = rows(range(5, 10))
    poisoned.sums["q"][3, 1, 2] = float("nan")
    with pytest.raises(InputError):
        statistics.update(poisoned, [CULTURES[i] for i in range(5, 10)])
    assert_same(statistics.summary(), expected)
    with pytest.raises(InputError):
        update(statistics, range(5, 10), layers=3)
    assert_same(statistics.summary(), expected)
    with pytest.raises(InputError):
        statistics.merge(accumulated([range(5, 10)], layers=3))
    assert_same(statistics.summary(), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_activations_that_are_no_numbers(bad):
    poisoned = rows(range(4))
    poisoned.sums["q"][2, 1, 3] = bad
    with pytest.raises(InputError) as caught:
        ActivationStatistics().update(poisoned, CULTURES[:4])
    words = ("site 'q'", "layer 1", "neuron 3", "NaN or infinite", CULTURES[2], "bfloat16")
    assert all(word in str(caught.value) for word in words)


def test_nothing_recorded():
    with pytest.raises(InputError, match="no items were recorded"):
        ActivationStatistics().summary()


def test_a_culture_without_a_counted_token():
    statistics = ActivationStatistics()
    counts = torch.zeros(2, 1, 3, dtype=torch.int32)
    rows_ = ItemStatistics(tokens=torch.tensor([4, 0]), counts={"act": counts})
    statistics.update(rows_, ["Japan", "Peru"])
    with pytest.raises(InputError, match="no token of Peru has a role that counts; choose other"):
        statistics.summary()


def test_means_need_magnitudes():
    with pytest.raises(InputError, match="no sums for site 'act': record with magnitudes=True"):
        whole(magnitudes=False).mean("act")
