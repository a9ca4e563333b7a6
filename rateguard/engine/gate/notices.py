"""What people want to hear of, kept until it is acknowledged, for the memory twin. notices.lua is the same."""

from __future__ import annotations

from rateguard.engine.gate.contract import MOST_NOTICES, Notice, NoticeKind
from rateguard.engine.limits.states import Budget


class Notices:
    """Notices by id."""

    def __init__(self) -> None:
        self.kept: dict[str, Notice] = {}

    def thresholds(self, limit_id: str, budget: Budget, now_ms: int, *, is_exhausted: bool = False) -> None:
        """The thresholds that a budget has reached now."""
        for share in budget.reached(is_exhausted=is_exhausted):
            self._add(NoticeKind.THRESHOLD, limit_id, share, budget.period, now_ms, "")

    def transition(self, deployment: str, generation: int, detail: str, now_ms: int) -> None:
        """A breaker's transition, where there was one."""
        if detail:
            self._add(NoticeKind.BREAKER, deployment, generation, 0, now_ms, detail)

    def cooled(self, target: str, until_ms: int, reason: str, now_ms: int) -> None:
        """An account or a deployment takes nothing for long."""
        self._add(NoticeKind.COOLED, target, 0, until_ms, now_ms, reason)

    def read(self, acknowledged: tuple[str, ...], most: int) -> tuple[Notice, ...]:
        """Forget those acknowledged, read others."""
        for notice in acknowledged:
            self.kept.pop(notice, None)
        return tuple(self.kept[notice] for notice in sorted(self.kept)[:most])

    def _add(self, kind: NoticeKind, subject: str, value: int, period: int, now_ms: int, detail: str) -> None:
        if len(self.kept) < MOST_NOTICES:
            notice_id = f"{kind}|{subject}|{value}|{period}"
            self.kept[notice_id] = Notice(notice_id, kind, subject, value, period, now_ms, detail)
