"""How healthy delivery is, as a run counts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reconcile.deliveries.past_event import Began, Decision
from shared.repository.progress import WebhookCounts


@dataclass(kw_only=True)
class Events:
    """How healthy delivery is: events listed by Stripe and those of them that never arrived.

    None: nobody asked. `left`: of those, the ones that could not be entered; the log says why.
    `refused`: those that never can be, being no events or of another account; each is among the
    `left` of the first run that sees it, and of no later one, but for one that is listed late.
    `webhook_missed` of the `webhook_expected` events did not come: of those made after
    `webhook_since` (epoch), when the last look ended, and of those that were listed late; without
    those that never can be entered. A run that goes on from another counts on.
    """

    listed: int | None = None
    missed: int | None = None
    left: int = 0
    refused: int = 0
    webhook_missed: int = 0
    webhook_expected: int = 0
    webhook_since: int | None = None
    by_type: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)

    @classmethod
    def begun(cls, webhook: WebhookCounts) -> Events:
        """Begin to count, on from what is kept with the cursor."""
        return cls(
            listed=0,
            missed=0,
            webhook_missed=webhook.missed,
            webhook_expected=webhook.expected,
            webhook_since=webhook.since,
        )

    def count_missed(self, decided: Iterable[Decision], began: Began, times: int = 1) -> None:
        """Count events that never arrived; -1 for what came after all.

        `began`: from when on the webhook was to bring them.
        """
        for one in decided:
            self.missed = (self.missed or 0) + times
            self.by_type[one.sent.type] += times
            day = datetime.fromtimestamp(one.sent.created, UTC).strftime("%Y-%m-%d")
            self.by_day[day] += times
            if one.was_expected(began):
                self.webhook_missed += times
                since = self.webhook_since or one.sent.created
                self.webhook_since = min(since, one.sent.created)
        self.by_type, self.by_day = +self.by_type, +self.by_day
