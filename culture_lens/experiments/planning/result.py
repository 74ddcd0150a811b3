"""Plan: what an experiment takes, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from culture_lens.storage.records import ResultRecord
from culture_lens.storage.status import duration

if TYPE_CHECKING:
    import pandas as pd

GB = 1e9
ROOM = 0.9
"""Share of a memory that a plan fills at most."""
SUMS = ("tokens", "operations", "seconds", "seconds_low", "seconds_high", "shards", "disk")


@dataclass(frozen=True, eq=False, repr=False)
class Plan(ResultRecord):
    """What an experiment takes, one row for each stage; made by ``plan``.

    Attributes:
        frame: stage, items, conditions, tokens (run, padding included), operations, seconds (with
            ``seconds_low`` and ``seconds_high``, of all workers together), bytes of weights,
            activations (what is accumulated among them) and the peak, of one worker; shards and
            bytes of disk.
        metadata: The model, the machine and what the numbers rest on.

    Example:
        ``plan("smollm2-135m").hours``
    """

    what: ClassVar[str] = "a plan"
    needs: ClassVar[tuple[str, ...]] = ("stage", *SUMS, "weights", "activations", "peak")

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]) -> Plan:
        """Make a plan of the rows of its stages."""
        import pandas as pd

        return cls(pd.DataFrame(list(rows)), metadata)

    @property
    def operations(self) -> float:
        """Multiplications and additions of all stages."""
        return float(self.frame["operations"].sum())

    @property
    def hours(self) -> float:
        """Hours of all stages, at the middle rate."""
        return float(self.frame["seconds"].sum() / 3600)

    @property
    def peak(self) -> int:
        """Bytes of memory of one worker, of the stage that takes most."""
        return int(self.frame["peak"].max())

    @property
    def fits(self) -> bool:
        """Whether every stage fits into the memory of a worker."""
        return bool(self.peak <= ROOM * self.metadata["memory"])

    @property
    def gpus_needed(self) -> int:
        """How many GPUs of this size one model must span, by ``device_map``."""
        one = self.metadata["memory"] / self.metadata["gpus_per_worker"]
        return max(1, int(math.ceil(self.peak / (ROOM * one))))

    @property
    def cost(self) -> float | None:
        """What the hours of all GPUs, or of the machine, cost; None without a price."""
        price = self.metadata.get("price")
        return None if price is None else self.hours * max(1, self.metadata["gpus"]) * price

    def table(self) -> pd.DataFrame:
        """Give the table for reading: T operations, hours, GB; the whole in the last row."""
        import pandas as pd

        held = self.frame
        whole = {name: held[name].sum() for name in SUMS}
        most = {name: held[name].max() for name in ("weights", "activations", "peak", "items")}
        rows = pd.concat([held, pd.DataFrame([{"stage": "all", **whole, **most}])])
        return pd.DataFrame(
            {
                "stage": rows["stage"].tolist(),
                "tera_operations": (rows["operations"] / 1e12).tolist(),
                "hours": (rows["seconds"] / 3600).tolist(),
                "hours_low": (rows["seconds_low"] / 3600).tolist(),
                "hours_high": (rows["seconds_high"] / 3600).tolist(),
                "weights_gb": (rows["weights"] / GB).tolist(),
                "activations_gb": (rows["activations"] / GB).tolist(),
                "peak_gb": (rows["peak"] / GB).tolist(),
                "shards": rows["shards"].astype(int).tolist(),
                "disk_gb": (rows["disk"] / GB).tolist(),
            }
        )

    def advice(self) -> str:
        """Say whether it fits, and what to do where it does not."""
        peak, held = f"{self.peak / GB:.1f} GB", f"{self.metadata['memory'] / GB:.0f} GB"
        if self.fits:
            return f"fits: {peak} of {held}"
        if self.metadata["device"] == "cpu":
            return (
                f"does not fit: {peak} of {held}; take a smaller dtype, batch or number of workers"
            )
        return (
            f"does not fit: {peak} of {held}; load it over {self.gpus_needed} GPUs "
            f"(device_map='auto', gpus_per_worker={self.gpus_needed})"
        )

    def _headline(self) -> str:
        facts = self.metadata
        return f"Plan: {facts['model']}, {facts['items']:,} items, {facts['dtype']}"

    def _facts(self) -> Mapping[str, Any]:
        middle, low, high = (
            duration(float(self.frame[f"seconds{end}"].sum())) for end in ("", "_low", "_high")
        )
        facts, cost = self.metadata, self.cost
        rate = f"{facts['rate']:.3g} operations/s"
        told: dict[str, Any] = {
            "stages": self.frame["stage"].tolist(),
            "operations": f"{self.operations:.3g}",
            "time": f"{middle} ({low} to {high})",
            "machine": f"{facts['workers']} x {facts['device']} at {rate}",
            "memory": self.advice(),
            "disk": f"{self.frame['disk'].sum() / GB:.2g} GB, {self.frame['shards'].sum()} shards",
            "rests on": f"rate: {facts['rate_from']}; tokens: {facts['tokens_from']}",
        }
        if cost is not None:
            told["time"] += f", {cost:,.2f} at the price given"
        return told

    def _main_table(self) -> pd.DataFrame:
        return self.table()


__all__ = ["Plan"]
