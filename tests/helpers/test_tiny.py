"""The tiny checkpoints and the reference are what they claim to be."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.helpers import reference
from tests.helpers.lm import each_architecture
from tests.helpers.tiny import (
    ARCHITECTURES,
    D_MLP,
    GEMMA_WINDOW,
    N_LAYERS,
    N_VOCAB,
    tiny_model,
    tiny_tokenizer,
)

TEXTS = (
    "Which food do people in Japan usually eat? Answer: A",
    "The capital of Ethiopia is Addis Ababa, and people drink coffee there. Answer: B",
    "What is the most popular sport in Mexico?",
)
WITH_BOS = ("llama", "gemma3", "phi3", "mistral")
CHAT = [{"role": "user", "content": "Which food? Answer with one letter."}]


def left_padded(tokenizer, texts=TEXTS):
    rows = tokenizer(list(texts))["input_ids"]
    width = max(map(len, rows))
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def raw_logits(hf, ids, mask):
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return hf(input_ids=ids, attention_mask=mask, position_ids=positions).logits


@each_architecture
def test_bos_is_added_by_those_who_have_one(architecture):
    tokenizer = tiny_tokenizer(architecture)
    plain = tokenizer("Answer", add_special_tokens=False)["input_ids"]
    bos = [tokenizer.bos_token_id] if architecture in WITH_BOS else []
    assert tokenizer("Answer")["input_ids"] == bos + plain
    assert tokenizer.pad_token_id is not None and tokenizer.eos_token_id is not None


@each_architecture
def test_template_and_careless_encoding(architecture):
    tokenizer = tiny_tokenizer(architecture)
    if architecture == "gpt2":
        assert tokenizer.chat_template is None
        return
    text = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    careful = tokenizer(text, add_special_tokens=False)["input_ids"]
    direct = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True, return_dict=False)
    assert careful == direct and tokenizer.decode(careful) == text
    n_bos = {"llama": 1, "gemma3": 1, "mistral": 1}.get(architecture, 0)
    assert careful.count(tokenizer.bos_token_id) == n_bos
    careless = tokenizer(text)["input_ids"]
    assert len(careless) - len(careful) == (1 if architecture in WITH_BOS else 0)


def test_peculiar_templates():
    conversation = [{"role": "system", "content": "Be brief."}, *CHAT]
    for architecture in ("llama", "qwen2", "qwen3", "gemma3", "phi3"):
        text = tiny_tokenizer(architecture).apply_chat_template(conversation, tokenize=False)
        assert text.count("Be brief.") == 1
    with pytest.raises(Exception, match="Only user and assistant"):
        tiny_tokenizer("mistral").apply_chat_template(conversation, tokenize=False)
    options = {"tokenize": False, "add_generation_prompt": True}
    qwen2 = tiny_tokenizer("qwen2").apply_chat_template(CHAT, **options)
    assert qwen2.startswith("<|im_start|>system\nYou are a helpful assistant.<|im_end|>")
    qwen3 = tiny_tokenizer("qwen3").apply_chat_template(CHAT, enable_thinking=False, **options)
    assert qwen3.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


@each_architecture
def test_letters_are_single_tokens(architecture):
    tokenizer = tiny_tokenizer(architecture)
    assert len(tokenizer) == N_VOCAB
    for text in (*"ABCDE", *(" " + letter for letter in "ABCDE")):
        assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1
    prefix = tokenizer('{"answer_choice":"', add_special_tokens=False)["input_ids"]
    whole = tokenizer('{"answer_choice":"B', add_special_tokens=False)["input_ids"]
    assert whole[:-1] == prefix and tokenizer.decode(whole[-1:]) == "B"


@each_architecture
def test_reload_from_folder(architecture, tmp_path):
    hf, tokenizer = tiny_model(architecture), tiny_tokenizer(architecture)
    hf.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    hf_again = AutoModelForCausalLM.from_pretrained(tmp_path)
    tokenizer_again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(hf_again) is type(hf) and hf.config.architectures == [type(hf).__name__]
    for text in (*TEXTS, "  two  spaces\n\nand é, 日本"):
        assert tokenizer_again(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert (
            tokenizer_again.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
        )
    assert tokenizer_again.chat_template == tokenizer.chat_template
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        expected = getattr(tokenizer, name)
        assert getattr(tokenizer_again, name) == expected == getattr(hf_again.config, name)
    ids, mask = left_padded(tokenizer)
    assert torch.equal(raw_logits(hf_again, ids, mask), raw_logits(hf, ids, mask))


@each_architecture
def test_model_depends_on_seed_and_tokens(architecture):
    hf = tiny_model(architecture)
    assert hf.dtype == torch.float32 and not hf.training
    state = torch.get_rng_state()
    ids, mask = left_padded(tiny_tokenizer(architecture))
    logits = raw_logits(hf, ids, mask)
    assert torch.equal(logits, raw_logits(tiny_model(architecture), ids, mask))
    assert not torch.allclose(logits, raw_logits(tiny_model(architecture, seed=1), ids, mask))
    assert torch.equal(state, torch.get_rng_state())
    assert logits[mask.bool()].std(0).mean() > 0.5


@pytest.mark.parametrize("place", ["folder", "memory"])
@each_architecture
def test_bridge_boots_and_agrees(architecture, place, tmp_path):
    from transformer_lens.model_bridge import TransformerBridge

    hf, tokenizer = tiny_model(architecture), tiny_tokenizer(architecture)
    ids, mask = left_padded(tokenizer)
    hf.set_attn_implementation("eager")  # as the bridge does: sdpa differs by 1e-5 of its own
    expected = raw_logits(hf, ids, mask)
    if place == "folder":
        hf.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        name, wrapped = str(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    else:
        name, wrapped = f"tiny-{architecture}", tiny_model(architecture)
        # The boot reloads a tokenizer with BOS from its folder, and there is none.
        tokenizer.bos_token = None
    bridge = TransformerBridge.boot_transformers(
        name, hf_model=wrapped, tokenizer=tokenizer, device="cpu"
    ).eval()
    gate = "in" if architecture == "gpt2" else "gate"
    seen = {}

    def keep(x, hook):
        seen[hook.name] = x

    sites = {"gate": f"mlp.{gate}", "q": "attn.q", "k": "attn.k", "v": "attn.v"}
    names = {(i, s): f"blocks.{i}.{h}.hook_out" for i in range(N_LAYERS) for s, h in sites.items()}
    with torch.no_grad(), bridge.hooks(fwd_hooks=[(name, keep) for name in names.values()]):
        logits = bridge(ids, attention_mask=mask)
    assert (logits - expected)[mask.bool()].abs().max() < 1e-5
    row = int(mask.sum(1).argmax())  # the sequence without padding
    for (layer, site), name in names.items():
        values = reference.site_values(hf, site, ids[row].tolist())[layer]
        assert np.abs(seen[name][row].flatten(1).numpy() - values).max() < 1e-5


@each_architecture
def test_counts(architecture):
    hf, tokenizer = tiny_model(architecture), tiny_tokenizer(architecture)
    sequences = [tokenizer(text)["input_ids"] for text in TEXTS]
    masks = [[t > 2 for t in range(len(ids))] for ids in sequences]
    cultures = ["Japan", "Ethiopia", "Japan"]
    counts, totals = reference.mlp_gate_counts(hf, sequences, masks, cultures)
    sums, squares, act_totals = reference.act_sums(hf, sequences, masks, cultures)
    lengths = [len(ids) - 3 for ids in sequences]
    assert totals == act_totals == {"Japan": lengths[0] + lengths[2], "Ethiopia": lengths[1]}
    for culture, table in counts.items():
        assert table.dtype == np.int64 and table.shape == (N_LAYERS, D_MLP)
        assert table.min() >= 0 and table.max() <= totals[culture]
        assert len(np.unique(table)) > 5
        assert (squares[culture] * totals[culture] >= sums[culture] ** 2 - 1e-9).all()
    by_act, _ = reference.site_counts(hf, "act", sequences, masks, cultures)
    assert all(np.array_equal(by_act[culture], counts[culture]) for culture in counts)
    assert (counts["Japan"] * totals["Ethiopia"] != counts["Ethiopia"] * totals["Japan"]).any()
    for site in ("q", "k", "v") if architecture == "gpt2" else ("up", "q", "k", "v"):
        table = reference.site_counts(hf, site, sequences, masks, cultures)[0]["Japan"]
        assert 0 <= table.min() < table.max() <= totals["Japan"]


@each_architecture
def test_ablation(architecture):
    hf, tokenizer = tiny_model(architecture), tiny_tokenizer(architecture)
    ids, mask = left_padded(tokenizer)
    plain, real = raw_logits(hf, ids, mask), mask.bool()
    everything = {layer: list(range(D_MLP)) for layer in range(N_LAYERS)}
    assert torch.equal(reference.ablated_logits(hf, ids, mask, {}), plain)
    assert torch.equal(reference.ablated_logits(hf, ids, mask, everything, scale=1.0), plain)
    ablated = reference.ablated_logits(hf, ids, mask, everything)
    assert (ablated - plain)[real].abs().max() > 0.1
    one = reference.ablated_logits(hf, ids, mask, {1: [3, 5]})
    assert (one - plain)[real].abs().max() > 1e-3
    assert torch.equal(raw_logits(hf, ids, mask), plain)  # no hook is left behind
    # scaling act(gate) at neurons 3 and 5 of layer 1 is the same as scaling the weights out of them
    steered = reference.ablated_logits(hf, ids, mask, {1: [3, 5]}, scale=1.5)
    mlp = reference.decoder_layers(hf)[1].mlp
    weight = mlp.c_proj.weight if architecture == "gpt2" else mlp.down_proj.weight.T
    original = weight.detach().clone()
    for scale, edited in ((1.5, steered), (0.0, one)):
        with torch.no_grad():
            weight[[3, 5]] = scale * original[[3, 5]]
        assert torch.allclose(raw_logits(hf, ids, mask), edited, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES[:-1])
def test_act_times_up_enters_the_down_projection(architecture):
    hf, ids = tiny_model(architecture), tiny_tokenizer(architecture)(TEXTS[0])["input_ids"]
    inputs = []
    for layer in reference.decoder_layers(hf):
        layer.mlp.down_proj.register_forward_pre_hook(lambda m, args: inputs.append(args[0][0]))
    product = reference.site_values(hf, "act", ids) * reference.site_values(hf, "up", ids)
    assert np.abs(torch.stack(inputs[:N_LAYERS]).detach().numpy() - product).max() < 1e-5


def test_window_of_gemma3_bites():
    hf, ids = tiny_model("gemma3"), torch.tensor([tiny_tokenizer("gemma3")(TEXTS[1])["input_ids"]])
    wide = tiny_model("gemma3")
    for layer in wide.model.layers:
        layer.self_attn.sliding_window = wide.config.sliding_window = 512
    mask = torch.ones_like(ids)
    difference = (raw_logits(hf, ids, mask) - raw_logits(wide, ids, mask)).abs().amax(-1)[0]
    assert difference[:GEMMA_WINDOW].max() < 1e-5 < 0.01 < difference[-1]


@each_architecture
def test_left_padding_and_likelihood(architecture):
    hf, tokenizer = tiny_model(architecture), tiny_tokenizer(architecture)
    ids, mask = left_padded(tokenizer)
    padded = reference.ablated_logits(hf, ids, mask, {0: [1]}).log_softmax(-1)
    for row in range(len(ids)):
        alone = ids[row][mask[row].bool()][None]
        logits = reference.ablated_logits(hf, alone, torch.ones_like(alone), {0: [1]})
        assert torch.allclose(padded[row, -1], logits[0, -1].log_softmax(-1), atol=1e-4)
    context, option = ids[0][mask[0].bool()].tolist(), tokenizer.encode(" Japan")[-3:]
    expected, so_far = 0.0, list(context)
    for token in option:  # one token at a time
        with torch.no_grad():
            last = hf(input_ids=torch.tensor([so_far])).logits[0, -1]
        expected += last.log_softmax(-1)[token].item()
        so_far.append(token)
    assert reference.option_log_likelihood(hf, context, option) == pytest.approx(expected, abs=1e-4)


def test_activation_module_shared_by_layers():
    hf, tokenizer = tiny_model("llama"), tiny_tokenizer("llama")
    ids, mask = left_padded(tokenizer)
    apart = reference.ablated_logits(hf, ids, mask, {1: [3, 5]}, scale=1.5)
    acts = reference.site_values(hf, "act", ids[1].tolist())
    for layer in reference.decoder_layers(hf):
        layer.mlp.act_fn = hf.model.layers[0].mlp.act_fn
    assert torch.equal(reference.ablated_logits(hf, ids, mask, {1: [3, 5]}, scale=1.5), apart)
    assert np.array_equal(reference.site_values(hf, "act", ids[1].tolist()), acts)


def test_selectors_by_hand():
    P = {  # one layer, four neurons
        "x": np.array([[0.9, 0.5, 0.2, 0.0]]),
        "y": np.array([[0.8, 0.5, 0.1, 0.0]]),
        "z": np.array([[0.1, 0.5, 0.6, 0.0]]),
    }
    half = 0.5  # two neurons
    assert reference.lap(P, half) == {
        "x": {(0, 0), (0, 1)}, "y": {(0, 0), (0, 1)}, "z": {(0, 1), (0, 2)},
    }  # fmt: skip
    # neuron 1 is a tie, neuron 3 never fires: neither is anyone's
    assert reference.conact(P, half) == {"x": {(0, 0)}, "y": set(), "z": {(0, 2)}}
    # differences for z: -0.75, 0, 0.45, 0: the tie of neurons 1 and 3 goes to the earlier one
    assert reference.mad_probability(P, half)["z"] == {(0, 2), (0, 1)}
    assert reference.mad_activation(P, half) == reference.mad_probability(P, half)
    # sorted P: 0 0 0 .1 .1 .2 .5 .5 .5 .6 .8 .9; the percentile 0.5 is the 6th smallest, 0.2.
    # H: neuron 0 (.9 .8 .1) 0.92, neuron 1 ln 3 = 1.10, neuron 2 (.2 .1 .6) 0.85; neuron 3 is out.
    found = reference.lape(P, percentile_filter=0.5, percentile_membership=0.5, share=half)
    assert found == {"x": {(0, 0)}, "y": {(0, 0)}, "z": {(0, 2)}}
    # the percentile 0.8 is the round(9.6) = 10th smallest, 0.6, which neuron 2 does not exceed
    found = reference.lape(P, percentile_filter=0.8, percentile_membership=0.5, share=1.0)
    assert found == {"x": {(0, 0)}, "y": {(0, 0)}, "z": set()}
