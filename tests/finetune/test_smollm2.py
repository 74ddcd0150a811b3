"""A real model on a few real rows: three steps on MRPC, before and after, saved and read again."""

import pytest
import torch
from transformers import AutoModelForCausalLM

import culture_lens as cl
from culture_lens.finetune import choose_modules, finetune, forgetting, plain_copy, rank_modules
from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.prompts.batches import collate
from culture_lens.prompts.build import build_prompt
from culture_lens.statistics.tables import as_estimates
from tests.helpers.finetune import weights
from tests.helpers.marks import quiet
from tests.helpers.places import DATA


@pytest.mark.slow
@quiet
def test_three_steps_on_mrpc(smollm2, tmp_path):
    if not (DATA / "mrpc").is_dir():
        pytest.skip(f"the rows of MRPC are not in {DATA}")
    rows = cl.load_benchmark("mrpc", path=DATA / "mrpc")
    rows.sort(key=lambda question: len(question.text))
    task, test = rows[:4], rows[4:8]
    culture = cl.load_benchmark("everyday")[:4]
    neurons = Neurons.of({"gate": [(3, 7), (3, 8)], "v": [(29, 0)]})
    shapes = {site: smollm2.shape(site) for site in ("gate", "q", "k", "v")}
    ranking = rank_modules(NeuronSet({"general": neurons}, shapes), smollm2, unit="projection")
    top = choose_modules(ranking, "top", parameter_share=0.01)
    # 134,515,008 parameters, the embeddings once. Behind the two modules with neurons comes the
    # first without; its own next would exceed 1%.
    assert ranking.total == 134_515_008
    assert [m.parameters for m in top.modules] == [576 * 1536, 576 * 192, 576 * 576]
    tuned = finetune(
        smollm2, task, top, epochs=3.0, learning_rate=1e-4, folder=tmp_path / "m", progress=False
    )
    before, after = weights(plain_copy(smollm2)), weights(plain_copy(tuned.model))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {f"{m.path}.weight" for m in top.modules}
    asked = {"task": test, "culture": culture}
    base, then = (
        {name: cl.evaluate(m, qs, progress=False) for name, qs in asked.items()}
        for m in (smollm2, tuned.model)
    )
    table = as_estimates(forgetting(base, then).summary()).set_index(["asked", "culture"])
    assert table.loc[("task", "all"), "items"] == 4
    assert table.loc[("task", "all"), "p_change"].value != 0
    assert tuned.result["last_loss"] < tuned.result["first_loss"]
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "m", local_files_only=True).eval()
    prompt = build_prompt(test[0], smollm2.tokenizer, "cloze")
    with torch.no_grad():
        logits = plain(torch.tensor([prompt.ids])).logits[:, -1]
    batch = collate([prompt], smollm2.pad_id)
    assert torch.allclose(logits, tuned.model.logits(batch), atol=1e-4)
