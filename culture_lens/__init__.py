"""Find, prove and use the neurons of a language model that carry knowledge of a culture.

    import culture_lens as cl

    model = cl.load_model("smollm2-135m")
    questions = cl.load_benchmark("everyday")
    found = cl.find_culture_neurons(model, questions, method="conact")
    matrix = cl.ablation_matrix(model, found, questions)
    cl.plots.ablation_heatmap(matrix).show()

Nothing heavy is imported until it is used.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

try:
    __version__ = version("culture-lens")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"
