"""Time and peak memory against the number of items, stage by stage.

    python speed/memory.py                                # the table
    python speed/memory.py --stages matrix --items 32 512
    python speed/memory.py --figure docs/memory.png       # and the figure of the docs

Random models of two layers read long prompts (some 600 tokens), with pictures a quarter of them
from photographs-sized files: so small a model makes what grows with the number of items stand
out. Every stage and number runs in a process of its own, on one thread. ``peak`` is the highest
resident memory, ``before`` what the process held when its questions were loaded. An item is a
question with a number of its own; no two share a question.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import peak_mib

sys.path.insert(0, str(Path(__file__).parents[1]))

ITEMS = (32, 128, 512, 2048)
PICTURES = (16, 64, 256, 1024)
CULTURES = ("Japan", "Italy", "Kenya", "Peru")
WORDS = (
    "Which food do people in Japan usually eat at the new year festival?",
    "What is the most popular sport in Mexico, and where do people play it?",
    "In Indonesia many families celebrate the end of the fasting month together.",
    "People drink tea with milk in the morning and coffee with sugar in the evening.",
)
SENTENCES = 12


def write_rows(folder: Path, items: int, pictures: bool) -> Path:
    """Write a table of so many questions, each with a picture file of its own where asked."""
    place = folder / "rows.jsonl"
    with place.open("w") as file:
        for number in range(items):
            words = [
                WORDS[(number + at * (1 + number % 3)) % len(WORDS)] for at in range(SENTENCES)
            ]
            row = {
                "id": f"q{number}",
                "culture": CULTURES[number % len(CULTURES)],
                "question": f"{number}. " + " ".join(words[: 2 if pictures else None]),
                "options": ["rice", "bread", "noodles", "soup"],
                "answer": "ABCD"[number % 3],
            }
            if pictures:
                row["image"] = f"{number}.jpg"
                draw_picture(number).save(folder / row["image"], quality=90)
            file.write(json.dumps(row) + "\n")
    return place


def draw_picture(number: int) -> Any:
    """Draw a picture of coarse noise, as large as a small photograph."""
    import numpy as np
    from PIL import Image

    coarse = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((640, 480))


def text_model() -> Any:
    """A random Llama of two layers that reads long prompts."""
    import torch
    import transformers

    from culture_lens.models.load import load_model
    from tests.helpers.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        architectures=["LlamaForCausalLM"],
    )
    model = transformers.LlamaForCausalLM(config).eval()
    return load_model("random-llama", hf_model=model, tokenizer=tokenizer)


def picture_model() -> Any:
    """A random LLaVA whose pictures have 576 tokens, as LLaVA 1.5's have."""
    import torch
    import transformers

    from culture_lens.models.load import load_model
    from tests.helpers.tiny_vlm import tiny_vlm_tokenizer

    tokenizer = tiny_vlm_tokenizer("llava")
    text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "max_position_embeddings": 4096}
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer), **text),
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=336,
            patch_size=14,
        ),
        image_token_index=tokenizer.image_token_id,
        image_seq_length=576,
        architectures=["LlavaForConditionalGeneration"],
    )
    torch.manual_seed(0)
    model = transformers.LlavaForConditionalGeneration(config).eval()
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
        ),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return load_model("random-llava", hf_model=model, processor=processor)


def masks_of(model: Any, several: int = 2) -> Any:
    """Neurons of as many conditions, in the model's last layer."""
    import culture_lens as cl

    layer = model.shape("act")[0] - 1
    return {
        f"mask {at}": cl.Neurons.of({"act": [(layer, at), (layer, 9 + at)]})
        for at in range(several)
    }


def matrix_of(model: Any, questions: Any, **options: Any) -> None:
    """Answer under the unmodified model and two masks, as an ablation matrix does."""
    from culture_lens.evaluation.evaluate import answer_masks, prepare
    from culture_lens.prompts.running import Running

    running = Running(progress=False, **options)
    prompts, scoring = prepare(model, questions, "letter_options", running)
    masks = [("unmodified", None), *masks_of(model).items()]
    answer_masks(model, prompts, scoring, masks, running=running)


def stages() -> dict[str, Callable[[Any, Any], object]]:
    """Name the stages; each takes a model and questions."""
    import culture_lens as cl
    from culture_lens.prompts.build import build_prompts
    from culture_lens.prompts.speed import Speed

    quiet: dict[str, Any] = {"progress": False}
    likelihood = {"scoring": "option_likelihood", **quiet}
    return {
        "prompts": lambda m, q: build_prompts(q, m.processor, context=m.context, **quiet),
        "summarise": lambda m, q: cl.summarise(m, q, **quiet),
        "replicates": lambda m, q: cl.summarise(m, q, replicates=20, **quiet),
        "attribute": lambda m, q: cl.attribute(m, q, **quiet),
        "contributions": lambda m, q: cl.attribute(
            m, q, sites="act", objective="logit_difference", path="integrated", points=2, **quiet
        ),
        "evaluate": lambda m, q: cl.evaluate(m, q, scoring="letter_options", **quiet),
        "likelihood": lambda m, q: cl.evaluate(m, q, **likelihood),
        "matrix": matrix_of,
        "batches": lambda m, q: matrix_of(m, q, speed=Speed(trees=False, fold=False)),
        "suite": lambda m, q: cl.evaluate_suite(
            m, masks_of(m), {"rows": q}, random_seeds=0, scoring="letter_options", **quiet
        ),
    }


def run_one(stage: str, kind: str, rows: Path) -> None:
    """Run one stage in this process, and print what it took as JSON."""
    import torch

    import culture_lens as cl

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = picture_model() if kind == "pictures" else text_model()
    image = {"image": "image"} if kind == "pictures" else {}
    load = lambda: cl.load_benchmark("table", rows, id="id", **image)  # noqa: E731
    questions = load()
    before, start = resident_mib(), time.process_time()
    if stage == "questions":
        start = time.process_time()
        load()
    else:
        stages()[stage](model, questions)
    print(json.dumps([before, peak_mib(), time.process_time() - start]))


def resident_mib() -> float:
    """Give the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def measured(stage: str, kind: str, items: int) -> list[float]:
    """Run a stage in a process of its own: memory before, peak, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), items, kind == "pictures")
        command = [sys.executable, __file__, "--only", stage, kind, str(rows)]
        return list(json.loads(subprocess.check_output(command).splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stages", nargs="*")
    parser.add_argument("--kind", choices=["text", "pictures"], default="text")
    parser.add_argument("--items", nargs="*", type=int)
    parser.add_argument("--only", nargs=3, metavar=("STAGE", "KIND", "ROWS"))
    options = parser.parse_args()
    if options.only:
        stage, kind, rows = options.only
        run_one(stage, kind, Path(rows))
        return
    numbers = options.items or (PICTURES if options.kind == "pictures" else ITEMS)
    print(f"{'stage':14} {'items':>6} {'before':>8} {'peak MiB':>9} {'KiB/item':>9} {'seconds':>8}")
    for stage in options.stages or ["summarise", "attribute", "matrix"]:
        first = None
        for items in numbers:
            before, peak, seconds = measured(stage, options.kind, items)
            first = first or (items, peak)
            each = 1024 * (peak - first[1]) / max(items - first[0], 1)
            print(
                f"{stage:14} {items:6d} {before:8.0f} {peak:9.0f} {each:9.2f} {seconds:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
