"""Made-up rows in the documented layout of CVQA, in every form that a copy of them can take."""

import csv
import io
import json

import datasets
import numpy as np
from PIL import Image

from culture_lens.benchmarks.cvqa import cvqa_questions
from culture_lens.benchmarks.reading.rows import as_frame

SUBSETS = (
    "('Spanish', 'Mexico')",
    "('Spanish', 'Chile')",
    "('Tamil', 'India')",
    "('Hindi', 'India')",
    "('Korean', 'South_Korea')",
    "('Minangkabau', 'Indonesia')",
)
PER_SUBSET = 6  # questions, two on each image
FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        **dict.fromkeys(
            ("ID", "Subset", "Question", "Translated Question"), datasets.Value("string")
        ),
        "Options": datasets.Sequence(datasets.Value("string")),
        "Translated Options": datasets.Sequence(datasets.Value("string")),
        "Label": datasets.Value("int64"),
        **dict.fromkeys(
            ("Category", "Image Type", "Image Source", "License"), datasets.Value("string")
        ),
    }
)  # fmt: skip


def drawn(seed, kind="JPEG"):
    """A picture that belongs to its seed alone; numbers of bytes differ from seed to seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (16 + 8 * seed, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, kind)
    return out.getvalue()


def made(number, subset=SUBSETS[0], picture=0, **other):
    name = f"59199911442724{picture:05d}_{number}"
    return {
        "image": {"bytes": drawn(picture), "path": f"{name}.jpg"},
        "ID": name,
        "Subset": subset,
        "Question": f"¿Qué es {number}?",
        "Translated Question": f"What is {number}? ",
        "Options": [f"cosa {number}", "casa", " perro ", "gato"],
        "Translated Options": [f"thing {number}", "house", " dog ", "cat"],
        "Label": number % 4,
        "Category": "Objects / materials / clothing" if number % 2 else "Sports and recreation",
        "Image Type": "Self",
        "Image Source": "Self-open",
        "License": "CC BY-SA",
        **other,
    }


def dataset(rows):
    return datasets.Dataset.from_list(rows, features=FEATURES)


def plain(questions):
    """Everything about questions but the picture, and the hash of that."""
    fields = ("id", "culture", "text", "options", "answer", "category", "group", "metadata")
    return [(*(getattr(q, f) for f in fields), q.image.key) for q in questions]


def questions_of(*rows, **options):
    return cvqa_questions(as_frame(list(rows)), **options)


# One set of questions, whatever the rows come in.


def as_parquet(rows, tmp_path):
    dataset(rows).to_parquet(str(tmp_path / "cvqa.parquet"))
    return tmp_path / "cvqa.parquet"


def as_shards(rows, tmp_path):
    """A copy of the hub's repository, which also holds files that are no rows."""
    (tmp_path / "data").mkdir()
    for n in range(4):
        shard = dataset(rows).shard(4, n, contiguous=True)
        shard.to_parquet(str(tmp_path / "data" / f"test-{n:05d}-of-00004.parquet"))
    (tmp_path / "submission_examples.csv").write_text("ID,answer\n1,2\n")
    return tmp_path


def as_shards_without_folder(rows, tmp_path):
    return as_shards(rows, tmp_path) / "data"


def as_saved(rows, tmp_path):
    dataset(rows).save_to_disk(str(tmp_path / "cvqa"), num_shards=2)
    return tmp_path / "cvqa"


def as_saved_splits(rows, tmp_path):
    splits = datasets.DatasetDict(test=dataset(rows), dev=dataset(rows[:1]))
    splits.save_to_disk(str(tmp_path / "cvqa"))
    return tmp_path / "cvqa"


def as_plain_parquet(rows, tmp_path):
    """Written without the features of datasets, as pandas does."""
    import pandas as pd

    pd.DataFrame(rows).to_parquet(tmp_path / "cvqa.parquet")
    return tmp_path / "cvqa.parquet"


def with_files(rows, tmp_path):
    (tmp_path / "photos").mkdir()
    for row in rows:
        (tmp_path / "photos" / row["image"]["path"]).write_bytes(row["image"]["bytes"])
    return [{**row, "image": f"photos/{row['image']['path']}"} for row in rows]


def as_jsonl(rows, tmp_path):
    path = tmp_path / "cvqa.jsonl"
    path.write_text("\n".join(map(json.dumps, with_files(rows, tmp_path))), encoding="utf-8")
    return path


def as_json_in_folder(rows, tmp_path):
    (tmp_path / "cvqa.json").write_text(json.dumps(with_files(rows, tmp_path)), encoding="utf-8")
    return tmp_path


def as_csv(rows, tmp_path, write=json.dumps):
    lists = ("Options", "Translated Options")
    flat = [{**r, **{name: write(r[name]) for name in lists}} for r in with_files(rows, tmp_path)]
    with (tmp_path / "cvqa.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, flat[0])
        out.writeheader()
        out.writerows(flat)
    return tmp_path / "cvqa.csv"


def as_csv_written_by_python(rows, tmp_path):
    return as_csv(rows, tmp_path, repr)


FORMS = [
    as_parquet,
    as_shards,
    as_shards_without_folder,
    as_saved,
    as_saved_splits,
    as_plain_parquet,
    as_jsonl,
    as_json_in_folder,
    as_csv,
    as_csv_written_by_python,
]
