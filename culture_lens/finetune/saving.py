"""A fine-tuned model on disk: an ordinary Hugging Face checkpoint with a card.

    config.json, model.safetensors, tokenizer or processor    any tool can load these
    README.md                                                 what was done, for people
    finetune.json                                             the same, for programs
    runs/                                                     what was logged for TensorBoard
    checkpoints/                                              while training only

``finetune.json`` is written twice: with the settings when training begins, so that an interrupted
training goes on, and with the result at the end. Of a checkpoint of the training only safetensors,
JSON and tensors (torch's ``weights_only``) are read; all of it is deleted at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from culture_lens.errors import InputError
from culture_lens.models.lens_model import LensModel
from culture_lens.storage.files import load_hashed_json, save_hashed_json, write_whole
from culture_lens.storage.parts import writing

RECORD, KIND = "finetune.json", "record of a fine-tuning"
CHECKPOINTS = "checkpoints"
LOGS = "runs"  # where Trainer puts them, in its output folder
CARD_WORDS = {
    "protect": "neurons whose weights were left alone",
    "only": "neurons whose weights alone were trained",
    "keep": "neurons whose activations were kept",
    "weights": "fingerprint of the weights before",
}
"""Setting -> its name on the card."""
FILES = ("trainable.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")
"""Files without which a checkpoint of the training is not whole."""


def open_folder(folder: str | Path, settings: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Open the folder of a fine-tuning, made where there is none.

    Args:
        folder: Where.
        settings: Everything that changes the result.

    Returns:
        The folder and its record, which holds the settings only until the training is finished.

    Raises:
        InputError: The folder holds something else, or a training with other settings.
    """
    where = Path(folder)
    if where.exists() and not where.is_dir():
        raise InputError(f"{where} is a file; a fine-tuned model needs a folder.")
    record = where / RECORD
    if record.exists():
        held = load_hashed_json(record, KIND)
        if held.get("settings") != settings:
            known = held.get("settings", {})
            other = sorted(k for k in {*known, *settings} if known.get(k) != settings.get(k))
            raise InputError(
                f"{where} holds a fine-tuning with other settings ({', '.join(other)}): give "
                "another folder, or delete this one."
            )
        return where, held
    if where.exists() and any(where.iterdir()):
        raise InputError(f"{where} is not empty and holds no fine-tuning: give another folder.")
    held = {"settings": dict(settings)}
    save_hashed_json(record, KIND, held)
    return where, held


def last_checkpoint(folder: Path) -> str | None:
    """Find the latest checkpoint of a training that is whole."""
    found = [
        (int(path.name.rpartition("-")[2]), path)
        for path in (folder / CHECKPOINTS).glob("checkpoint-*")
        if path.name.rpartition("-")[2].isdigit() and all((path / name).is_file() for name in FILES)
    ]
    return str(max(found)[1]) if found else None


def save_checkpoint(folder: Path, plain: Any, model: LensModel, record: Mapping[str, Any]) -> None:
    """Write model, tokenizer or processor, card and record; the record comes last.

    Args:
        folder: Where.
        plain: The plain model.
        model: The model before training, which has the tokenizer and the processor.
        record: Settings and result.

    Raises:
        InputError: The disk is full, or the folder cannot be written to.
    """
    with writing(folder):
        plain.save_pretrained(folder)
        for part in model.processor.parts.values():
            part.save_pretrained(folder)
    write_whole(folder / "README.md", lambda part: part.write_text(card(record), encoding="utf-8"))
    if (folder / CHECKPOINTS / LOGS).is_dir():
        shutil.move(folder / CHECKPOINTS / LOGS, folder / LOGS)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    save_hashed_json(folder / RECORD, KIND, record)


def card(record: Mapping[str, Any]) -> str:
    """Write the card of a fine-tuned model in Markdown.

    Example:
        >>> card({"settings": {"model": "m"}, "result": {}}).splitlines()[0]
        '# m, fine-tuned'
    """
    settings, result = record["settings"], record["result"]
    lines = [
        f"# {settings['model']}, fine-tuned",
        "",
        "Made with culture_lens: some modules or neurons were trained on a task, the others left "
        "exactly as they were. The licence of the base model applies.",
        "",
        "## What was done",
        "",
        "| | |",
        "|---|---|",
    ]
    rows = {name: value for name, value in settings.items() if name not in ("modules", "hashes")}
    rows |= {name: value for name, value in result.items() if name not in ("log", "versions")}
    lines += [
        f"| {CARD_WORDS.get(name, name.replace('_', ' '))} | {table_cell(value)} |"
        for name, value in rows.items()
    ]
    modules = settings.get("modules") or []
    if modules:
        lines += [
            "",
            "## Modules trained",
            "",
            "| path | projection | layer | outputs | neurons of its module |",
            "|---|---|---|---|---|",
        ]
        lines += [
            f"| `{m['path']}` | {m['name']} | {m['layer']} | {m['start']} to {m['stop'] - 1} | "
            f"{m['neurons']} |"
            for m in modules
        ]
    versions = ", ".join(f"{name} {v}" for name, v in result.get("versions", {}).items())
    lines += ["", "## Versions", "", versions or "not recorded", ""]
    return "\n".join(lines)


def table_cell(value: Any) -> str:
    """Write a value into a cell of a Markdown table.

    Example:
        >>> table_cell(None), table_cell(0.00003), table_cell("a|b")
        ('none', '3e-05', 'a/b')
    """
    if value in (None, "", [], {}):
        return "none"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "/").replace("\n", " ")
