"""Time and peak memory against the number of items, and of conditions, stage by stage.

    python speed/memory.py                                  # text, and then pictures
    python speed/memory.py --kind text --stages matrix --items 32 512
    python speed/memory.py --against conditions --kind text --stages matrix
    python speed/memory.py --save found.json; python speed/memory.py --draw found.json memory.png

Random models of two layers read long prompts (some 450 tokens; with pictures 576 more): beside so
small a model, what grows with the number of items stands out. Every stage and number is a process
of its own with one thread. ``before`` is the memory that the process holds when model and questions
are loaded, ``peak`` the most that it ever held (resident memory), ``seconds`` the stage's processor
time. No two items share a question or a picture. KiB an item are those from the first number on.
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

from made_items import picture_model, text_model, write_rows

ITEMS = (16, 64, 256, 1024)
CONDITIONS, ITEMS_OF_CONDITIONS = (2, 8, 32), 64
STAGES = ("summarise", "replicates", "attribute", "matrix", "suite")


def masks_of(model: Any, conditions: int) -> Any:
    """Make the neurons of so many conditions, in the model's last layer."""
    import culture_lens as cl

    layer, width = model.shape("act")[0] - 1, model.shape("act")[1]
    places = [[(layer, at % width), (layer, (at + 9) % width)] for at in range(conditions)]
    return {f"mask {at}": cl.Neurons.of({"act": held}) for at, held in enumerate(places)}


def matrix_of(model: Any, questions: Any, conditions: int, **options: Any) -> None:
    """Answer under the unmodified model and under masks, as an ablation matrix does."""
    from culture_lens.evaluation.evaluate import answer_masks, prepare
    from culture_lens.prompts.running import Running

    running = Running(progress=False, **options)
    prompts, scoring = prepare(model, questions, "letter_options", running)
    masks = [("unmodified", None), *masks_of(model, conditions - 1).items()]
    answer_masks(model, prompts, scoring, masks, running=running)


def stages(conditions: int) -> dict[str, Callable[[Any, Any], object]]:
    """Name the stages; each takes a model and questions."""
    import culture_lens as cl
    from culture_lens.prompts.speed import Speed

    quiet: dict[str, Any] = {"progress": False}
    letters: dict[str, Any] = {"scoring": "letter_options", **quiet}
    plain = Speed(trees=False, fold=False)
    return {
        "questions": lambda model, questions: None,
        "summarise": lambda m, q: cl.summarise(m, q, **quiet),
        "replicates": lambda m, q: cl.summarise(m, q, replicates=20, **quiet),
        "attribute": lambda m, q: cl.attribute(m, q, **quiet),
        "evaluate": lambda m, q: cl.evaluate(m, q, **letters),
        "matrix": lambda m, q: matrix_of(m, q, conditions),
        "batches": lambda m, q: matrix_of(m, q, conditions, speed=plain),
        "suite": lambda m, q: cl.evaluate_suite(
            m, masks_of(m, conditions - 1), {"rows": q}, random_seeds=0, **letters
        ),
    }


def run_one(stage: str, kind: str, rows: Path, conditions: int) -> None:
    """Run one stage in this process, and print what it took as JSON."""
    import torch

    import culture_lens as cl

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    model = picture_model() if kind == "pictures" else text_model()
    image = {"image": "image"} if kind == "pictures" else {}
    questions = cl.load_benchmark("table", rows, id="id", **image)
    before, start = resident_mib(), time.process_time()
    stages(conditions)[stage](model, questions)
    print(json.dumps([before, peak_mib(), time.process_time() - start]))


def resident_mib() -> float:
    """Give the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def measured(stage: str, kind: str, items: int, conditions: int) -> list[float]:
    """Run a stage in a process of its own: memory before, peak, seconds."""
    with tempfile.TemporaryDirectory() as folder:
        rows = write_rows(Path(folder), items, kind == "pictures")
        words = ["--only", stage, kind, str(rows), str(conditions)]
        command = [sys.executable, __file__, *words]
        return list(json.loads(subprocess.check_output(command).splitlines()[-1]))


def measure_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure every stage at every number, and print a line of each."""
    found: list[dict[str, Any]] = []
    print(f"{'':20} {options.against:>10} {'before':>7} {'peak MiB':>9} {'KiB each':>9} {'s':>8}")
    for kind in options.kind:
        for stage in options.stages:
            items = options.items or ITEMS
            numbers = items if options.against == "items" else CONDITIONS
            first: list[float] = []
            for number in numbers:
                sizes = (number, 3) if options.against == "items" else (ITEMS_OF_CONDITIONS, number)
                before, peak, seconds = measured(stage, kind, *sizes)
                first = first or [number, peak]
                each = 1024 * (peak - first[1]) / max(number - first[0], 1)
                line = f"{before:7.0f} {peak:9.0f} {each:9.2f} {seconds:8.2f}"
                print(f"{kind + ' ' + stage:20} {number:10d} {line}", flush=True)
                told = {"kind": kind, "stage": stage, options.against: number}
                found.append({**told, "before": before, "peak": peak, "seconds": seconds})
    return found


def draw(found: list[dict[str, Any]], place: str) -> None:
    """Draw seconds and peak memory against the number of items, or of conditions."""
    from plotly.subplots import make_subplots

    from culture_lens import plots
    from culture_lens.plots.style import FAINT, styled

    colours = ("#2166ac", "#c1440e", "#7a7f87", "#4393c3", "#d6604d", "#08306b", "#5b6270")
    series = {f"{row['stage']}, {row['kind']}": [] for row in found}
    for row in found:
        series[f"{row['stage']}, {row['kind']}"].append(row)
    against = "conditions" if "conditions" in found[0] else "items"
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    for at, (name, rows) in enumerate(series.items()):
        numbers = [row[against] for row in rows]
        line = {"color": colours[at % len(colours)], "dash": "dot" if "pict" in name else "solid"}
        for column, what in ((1, "seconds"), (2, "peak")):
            values = [row[what] for row in rows]
            shown = {"name": name, "line": line, "showlegend": column == 1, "legendgroup": name}
            shown |= {"x": numbers, "y": values, "mode": "lines+markers"}
            figure.add_scatter(**shown, row=1, col=column)
    title = f"Time and memory against {against}"
    told = "Small random models, one thread; see the page"
    styled(figure, title, told, 8, legend={"orientation": "h", "y": -0.3}, width=900)
    figure.update_xaxes(title_text=against, rangemode="tozero", showgrid=True, gridcolor=FAINT)
    figure.update_yaxes(rangemode="tozero", showgrid=True, gridcolor=FAINT)
    figure.update_yaxes(title_text="seconds of one processor", col=1)
    figure.update_yaxes(title_text="peak memory, MiB", col=2)
    plots.save(figure, place)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", nargs="*", default=["text", "pictures"])
    parser.add_argument("--stages", nargs="*", default=STAGES)
    parser.add_argument("--items", nargs="*", type=int)
    parser.add_argument("--against", choices=["items", "conditions"], default="items")
    parser.add_argument("--save", type=Path, help="a JSON file for the numbers")
    parser.add_argument("--draw", nargs=2, metavar=("NUMBERS", "FIGURE"))
    parser.add_argument("--only", nargs=4, metavar=("STAGE", "KIND", "ROWS", "CONDITIONS"))
    options = parser.parse_args()
    if options.only:
        stage, kind, rows, conditions = options.only
        run_one(stage, kind, Path(rows), int(conditions))
    elif options.draw:
        draw(json.loads(Path(options.draw[0]).read_text()), options.draw[1])
    else:
        found = measure_all(options)
        if options.save:
            options.save.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
