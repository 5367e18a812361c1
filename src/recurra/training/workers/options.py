"""How many processes train together, and where they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from recurra.errors import UsageError

LOCAL = "local"


@dataclass(frozen=True)
class Workers:
    """Processes that train one network together.

    Attributes:
        least: fewest processes that training continues with.
        most: greatest number of processes.
        cluster: `"local"` for this machine, `"auto"` for the cluster that this machine belongs to, or the address of a
            Ray cluster.
        threads: threads of each process; None to divide the cores of this machine.

    Example:
        >>> Workers.of("2:4")
        Workers(least=2, most=4, cluster='local', threads=None)
    """

    least: int
    most: int
    cluster: str = LOCAL
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise UsageError(f"workers must be a positive number, or MIN:MAX with MIN ≤ MAX, not {self}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads_per_worker must be at least 1, got {self.threads}")

    def __str__(self) -> str:
        return str(self.most) if self.least == self.most else f"{self.least}:{self.most}"

    @classmethod
    def of(cls, value: Any, cluster: str | None = None, threads: int | None = None) -> Self:
        """Converts a number, a pair of numbers or a text such as `"2:4"`.

        Raises:
            UsageError: `value` is none of these.
        """
        if isinstance(value, cls):
            return value
        parts = value.split(":") if isinstance(value, str) else value if isinstance(value, tuple | list) else [value]
        try:
            numbers = [int(part) for part in parts]
        except (TypeError, ValueError):
            numbers = []
        if len(numbers) not in (1, 2) or any(isinstance(part, float | bool) for part in parts):
            raise UsageError(f"workers is a number such as 2, or a range such as 2:4, not {value!r:.40}")
        return cls(numbers[0], numbers[-1], cluster or LOCAL, threads)
