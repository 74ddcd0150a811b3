"""Cut edges give the logits of attention that is written out, on every architecture."""

import pytest
import torch

import culture_lens as cl
from culture_lens.errors import CultureLensWarning, InputError
from culture_lens.evaluation.generation import greedy_tokens
from culture_lens.interventions.edge_tokens import DecoderColumns
from culture_lens.interventions.edges import Tally, edge_hooks, edges_cut, without_edges
from culture_lens.models.lens_model import LensModel
from culture_lens.models.load import load_model
from culture_lens.models.running_batch import RunningBatch
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompts
from culture_lens.prompts.prompt import Role
from culture_lens.prompts.shared_prefix import shared_prefix_lengths
from culture_lens.prompts.token_groups import identity_tokens
from tests.helpers import heads, lm, t5
from tests.helpers.architecture_table import BOUND
from tests.helpers.closeness import relative
from tests.helpers.questions import toy_questions
from tests.helpers.reference_heads import edges_gone
from tests.helpers.tiny import tiny_model, tiny_tokenizer

PLAN = {0: (1,), 1: (0, 3)}
"""Layer -> the heads whose edges are cut."""
EITHER = {
    "": (["identity", "image"], ["options", "last"]),
    "encoder": (["identity"], ["options", "last"]),
    "decoder": (["template"], ["answer"]),
    "cross": (["options"], ["last"]),
}
"""Stack -> from which tokens, to which."""


def positions(model: LensModel, prompt, groups, decoder: bool) -> list[int]:
    """Where the tokens of groups are, told from the prompt alone."""
    if decoder:
        last = len(prompt.decoder_ids) - 1
        of = {"template": [0], "answer": [*range(1, last + 1)], "last": [last]}
        return sorted({at for group in groups for at in of.get(group, [])})
    roles = {"image": Role.IMAGE, "options": Role.OPTIONS}
    named = identity_tokens(prompt, model.tokenizer)
    found = {at for at, role in enumerate(prompt.roles) if role in map(roles.get, groups)}
    found |= {at for at, one in enumerate(named) if one and "identity" in groups}
    return sorted(found | ({len(prompt.ids) - 1} if "last" in groups else set()))


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "name"), heads.NAMES)
def test_cut_edges_against_attention_that_is_written_out(architecture, name):
    make, _ = heads.CASES[architecture]
    case, hf = make(name), heads.raw_of(make, name)
    model, prompts = case.model, list(case.prompts)[::5]
    batch = collate(prompts, model.pad_id)
    plain = model.logits(batch)
    for stack in heads.stacks_of(model):
        from_roles, to_roles = EITHER[stack]
        modules = heads.attentions_of(make, hf, stack)
        chosen = [(heads.site_of(stack), layer, h) for layer, own in PLAN.items() for h in own]
        with edges_cut(model, chosen, from_roles=from_roles, to_roles=to_roles):
            found = model.logits(batch)
        expected = []
        for prompt in prompts:
            keys = positions(model, prompt, from_roles, stack == "decoder")
            queries = positions(model, prompt, to_roles, stack in ("decoder", "cross"))
            pairs = [(i, j) for i in queries for j in keys if i != j or stack == "cross"]
            cut = {modules[la]: dict.fromkeys(own, pairs) for la, own in PLAN.items()}
            with edges_gone(hf, modules, cut), torch.no_grad():
                expected.append(case.logits(prompt))
        assert relative(found, torch.stack(expected)) <= BOUND
        assert relative(found, plain) > 1e-4
    assert torch.equal(model.logits(batch), plain)


# ------------------------------------------------------------------ on paper


def test_of_three_tokens_the_last_reads_the_rest():
    """Scores 0: weights 1/3 each; without the edge 0 -> 2 of head 1, 1/2 each of what is left."""
    seen = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    cut = torch.zeros(1, 3, 3, dtype=torch.bool)
    cut[0, 2, 0] = True
    left = without_edges(seen, [1], 2, cut)
    weights = torch.where(left, 0.0, -torch.inf).softmax(-1)
    assert weights[0, 0, 2].tolist() == pytest.approx([1 / 3] * 3)
    assert weights[0, 1, 2].tolist() == [0.0, 0.5, 0.5]
    assert left[0, 1, :2].equal(seen[0, 0, :2])


def test_identity_is_the_name_in_the_question_and_nothing_else():
    model = lm.lens("llama")
    prompts = build_prompts(toy_questions(), model.processor)
    for prompt in prompts:
        named = identity_tokens(prompt, model.tokenizer)
        text = model.tokenizer.decode([i for i, one in zip(prompt.ids, named, strict=True) if one])
        assert text.strip() == prompt.question.culture
        assert all(prompt.roles[at] == Role.QUESTION for at, one in enumerate(named) if one)
    asked = [q for q in toy_questions() if q.culture == "Japan"][:1]
    (people,) = build_prompts(asked, model.processor)
    assert sum(identity_tokens(people, model.tokenizer, ["new year"])) > sum(
        identity_tokens(people, model.tokenizer)
    )


# ------------------------------------------------------------------ however it is run


@pytest.fixture(scope="module")
def model():
    return lm.lens("llama")


EVERY = [(layer, head) for layer in range(3) for head in range(4)]


def test_eager_attention_gives_the_same(model):
    eager = load_model(
        "tiny-llama",
        hf_model=tiny_model("llama"),
        tokenizer=tiny_tokenizer("llama"),
        attention="eager",
    )
    batch = collate(build_prompts(toy_questions(), model.processor), model.pad_id)
    ways = {"from_roles": "question", "to_roles": ["options", "last"]}
    with edges_cut(model, EVERY, **ways), edges_cut(eager, EVERY, **ways):
        assert relative(eager.logits(batch), model.logits(batch)) <= BOUND
        one = collate(build_prompts(toy_questions()[:1], model.processor), model.pad_id)
        assert relative(eager.logits(one), model.logits(one)) <= BOUND  # no padding: no mask


def test_shared_prefixes_batches_and_orders_change_nothing(model):
    prompts = build_prompts(toy_questions(), model.processor)
    lengths = shared_prefix_lengths(prompts)
    assert lengths
    with edges_cut(model, EVERY, from_roles="question", to_roles=["options", "last"]):
        whole = model.logits(collate(prompts, model.pad_id))
        shared = model.logits(collate(prompts, model.pad_id, lengths))
        alone = model.logits(collate(prompts[3:4], model.pad_id))
    assert relative(shared, whole) <= BOUND and relative(alone, whole[3:4]) <= BOUND


def test_options_that_follow_are_options(model):
    """Cloze: the options run behind their prompts, and the edges into them are cut there."""
    prompts = build_prompts(toy_questions()[:3], model.processor, style="cloze")
    batch = collate(prompts, model.pad_id)
    plain = model.continuation_log_probs(batch)
    with edges_cut(model, EVERY, from_roles="identity", to_roles="options"):
        found = model.continuation_log_probs(batch)
    longest = max(range(4), key=lambda at: len(prompts[0].continuations[at]))
    assert len(found[0][longest]) > 1
    assert found[0][longest][0] == plain[0][longest][0]  # predicted by the prompt's last token
    assert not torch.allclose(found[0][longest][1:], plain[0][longest][1:])


def test_what_is_written_is_cut_too(model):
    batch = collate(build_prompts(toy_questions(), model.processor), model.pad_id)
    with edges_cut(model, EVERY, from_roles="question", to_roles=["last", "answer"]):
        first = model.logits(batch).argmax(-1).tolist()
        written = greedy_tokens(model, batch, 3)
    assert [row[0] for row in written if row] == [
        token for token, row in zip(first, written, strict=True) if row
    ]
    assert written != greedy_tokens(model, batch, 3)


def test_evaluate_and_neurons_at_the_site_head(model):
    chosen = Neurons.of({"head": EVERY})
    with edges_cut(model, chosen, from_roles="question", to_roles="last"):
        found = cl.evaluate(model, toy_questions(), scoring="letter", progress=False)
    plain = cl.evaluate(model, toy_questions(), scoring="letter", progress=False)
    assert (found.frame["p_gold"] != plain.frame["p_gold"]).all()


# ------------------------------------------------------------------ refused, and warned of


def test_what_is_refused(model):
    ways = {"from_roles": "identity", "to_roles": "options"}
    for given, words in (
        ([], "heads is empty"),
        ([(7, 0)], "layer of a head"),
        ([(0, 9)], "head"),
        ([("cross.head", 0, 0)], "cross.head"),
        ([3], "pairs"),
    ):
        with pytest.raises(InputError, match=words):
            edge_hooks(model, given, **ways)
    with pytest.raises(InputError, match="identity"):
        edge_hooks(model, [(0, 0)], from_roles="identty", to_roles="options")
    with pytest.raises(InputError, match="bare token ids"):
        with edges_cut(model, [(0, 0)], **ways):
            model("Which tea?")


@pytest.mark.parametrize("family", ["t5", "flan"])
@pytest.mark.parametrize("groups", ["last", "answer"])
def test_what_a_decoder_writes_is_told_from_what_it_is_given(groups, family):
    """T5's cross-attention after a start token alone, with a cache or without."""
    model = t5.lens(family, torch.float64)
    batch = collate(build_prompts(toy_questions()[:2], model.processor), model.pad_id)
    tally, one = Tally(), [("cross.head", 0, 0)]
    hooks = edge_hooks(model, one, from_roles="question", to_roles=groups, tally=tally)
    with model.hooks(hooks):
        greedy_tokens(model, batch, 3)
    questions = sum(role == Role.QUESTION for prompt in batch.prompts for role in prompt.roles)
    cached, steps = model.n_layers == model.n_decoder_layers, tally.forwards
    later = steps - 1 if cached else steps * (steps - 1) / 2
    given = {"last": 1 if cached else steps, "answer": later}
    assert len(batch.prompts[0].decoder_ids) == 1 < steps
    assert tally.edges == questions * given[groups]


def test_columns_of_a_decoder_are_counted_with_a_cache_and_without():
    """Queries 1 1 1 are three columns, and so are 1 2 3; another batch begins anew."""
    (prompt,) = build_prompts(toy_questions()[:1], lm.lens("llama").processor)
    first, other = (RunningBatch(collate([prompt], 0)) for _ in range(2))
    columns = DecoderColumns()
    assert [columns.after(first, 1, own=1) for _ in range(3)] == [1, 2, 3]
    assert [columns.after(other, n, own=1) for n in (1, 2, 3)] == [1, 2, 3]


def test_all_that_a_token_reads_cannot_be_cut():
    model = t5.lens("t5", torch.float64)
    batch = collate(t5.prompts_of(model), model.pad_id)
    with pytest.raises(InputError, match="softmax over nothing"):
        with edges_cut(
            model, [("cross.head", 0, 0)], from_roles=["template", "content"], to_roles="last"
        ):
            model.logits(batch)


def test_edges_that_no_prompt_has_are_warned_of(model):
    batch = collate(build_prompts(toy_questions()[:2], model.processor), model.pad_id)
    with pytest.warns(CultureLensWarning, match="no prompt has an edge"):
        with edges_cut(model, [(0, 0)], from_roles="options", to_roles="question"):
            model.logits(batch)
