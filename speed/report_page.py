"""Size and time of a page: 25 cultures, 40 layers, 100,000 neurons per selector.

    python speed/report_page.py --selectors 3

The results are made up. Prints the seconds to write the page and its size, and, where a browser is
installed, the time until it can be read and used, and until all figures are drawn.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from culture_lens.neurons.neuron_set import NeuronSet
from culture_lens.neurons.neurons import Neurons
from culture_lens.report.page import build_report
from culture_lens.storage.runs import Run
from tests.helpers.browser import Browser
from tests.helpers.results import make_matrix, make_run

CULTURES = [f"Language of a region, Country {number}" for number in range(25)]
LAYERS, WIDTH, EACH = 40, 14336, 4000


def made_set(seed: int, matrix) -> NeuronSet:
    generator = np.random.default_rng(seed)
    neurons = {}
    for culture in CULTURES:
        flat = np.sort(generator.choice(LAYERS * WIDTH, EACH, replace=False))
        places = torch.tensor(np.stack([flat // WIDTH, flat % WIDTH], axis=1))
        neurons[culture] = Neurons({"act": places}, {"act": torch.rand(EACH)})
    return NeuronSet(neurons, {"act": (LAYERS, WIDTH)}, matrix.metadata)


def made_run(folder: Path, selectors: int) -> Run:
    matrix = make_matrix(CULTURES, items=20, seeds=2)
    sets = {f"selector-{n}": (made_set(n, matrix), matrix) for n in range(selectors)}
    return make_run(folder, **sets)


def timed(page: Path) -> None:
    browser = Browser()
    try:
        started = time.monotonic()
        tab = browser.page(page)
        tab.until("undrawn().length === 0")
        print(f"loaded, first screen drawn: {time.monotonic() - started:.2f} s")
        times = {
            "first paint": "performance.getEntriesByType('paint')[0].startTime",
            "tables and filters work": "performance.getEntriesByName('usable')[0].startTime",
            "loaded": "performance.getEntriesByType('navigation')[0].loadEventEnd",
        }
        for name, script in times.items():
            print(f"{name}: {tab.run(script):.0f} ms after navigation")
        started = time.monotonic()
        tab.run("form.elements.culture.value = '3'; filterNeurons()")
        print(f"neurons filtered: {1000 * (time.monotonic() - started):.0f} ms")
        tab.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        tab.until("plots.every((plot) => plot.dataset.drawn)")
        print(f"everything opened and drawn: {time.monotonic() - started:.2f} s")
        print("width of the document:", tab.run("document.documentElement.scrollWidth"))
    finally:
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--selectors", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = made_run(Path(folder), asked.selectors)
        started = time.monotonic()
        page = build_report(run)
        seconds, size = time.monotonic() - started, page.stat().st_size / 1e6
        print(f"{asked.selectors} selectors: {size:.2f} MB, written in {seconds:.1f} s")
        timed(page)


if __name__ == "__main__":
    main()
