"""The loop that admits, for the memory twin: the head of the best tree is granted, refused, parked, or closes its model.

admit.lua is the same, name by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rateguard.engine.gate.asking import Asked, ask
from rateguard.engine.gate.breakers import Breakers
from rateguard.engine.gate.choosing import NO_LANE, Choosing
from rateguard.engine.gate.codec import TAG_SCALE, came_ms, split_tree, unpack_member
from rateguard.engine.gate.contract import DeploymentRecord, Grant, ModelRecord, Refusal, Refused, ReservationId
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.notices import Notices
from rateguard.engine.gate.paths import Path
from rateguard.engine.gate.reservations import Reservation
from rateguard.engine.gate.room import SECOND_LOOK_MS, WAKE_NODES, Room
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Need
from rateguard.engine.limits.states import DOWNGRADE, FOREVER, NEVER, Budget, LimitState
from rateguard.engine.routing import marks

SHORTEST_UNSENT_MS = 200
"""A grant may stay unsent for so long whatever the window: less no worker can keep."""

WAKE_JOBS = 16
"""A budget with room again wakes as many jobs as are wanted and so many more that fit, and as many that never will, at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """A candidate: the job whose turn it is in a tree, and its place in the order of its user."""

    tree: str
    lane: Lane
    path: Path
    member: bytes
    order: int
    need: Need
    reservation: ReservationId


@dataclasses.dataclass(slots=True)
class Admission:
    """One run of the loop over the gate's state. `reserve` takes over each granted reservation.

    closed_limits: closed in this run for a lane and all below it.
    """

    room: Room
    breakers: Breakers
    notices: Notices
    cooling: dict[str, int]
    settings: GateSettings
    choosing: Choosing
    now_ms: int
    want: int
    is_reserved: Callable[[ReservationId], bool]
    reserve: Callable[[ReservationId, Reservation, int], None]
    granted: list[Grant] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    closed_limits: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    opens_ms: int = FOREVER
    binding: str = ""
    tries: int = 0

    def run(self) -> bool:
        """Wake what is due, then admit. Returns whether it stopped at `want` with work left to look at."""
        self._wake_due()
        while len(self.granted) < self.want and self.tries < self.want * 4 + 64:
            tree = self.choosing.best_tree()
            if tree is None:
                return False
            self.tries += 1
            self._try(tree)
        return self.choosing.best_tree() is not None

    # ---- waking

    def _wake_due(self) -> None:
        for limit_id in self.room.wake.up_to(self.now_ms, self.want + 16):
            limit = self.room.table.get(limit_id, self.now_ms)
            if limit is None:
                self.room.wake_at(limit_id, None)
                continue
            again_ms: int | None
            if isinstance(limit, Budget):
                again_ms = self._wake_jobs(limit_id, limit)
            else:
                self.room.unpark(limit_id, limit, WAKE_NODES if limit.record.kind == Kind.PAUSE else 1)
                again_ms = self.now_ms + SECOND_LOOK_MS if limit.has_parked else None
            self.room.wake_at(limit_id, again_ms)

    def _wake_jobs(self, budget_id: str, budget: Budget) -> int | None:
        """Jobs that fit the rest, and jobs that never will, are tried again; others wait for the next settle or period.

        Returns when to look again.
        """
        parked, most = self.room.parked_jobs[budget_id], self.want + WAKE_JOBS
        rest = budget.record.amount - budget.total
        fitting = parked.up_to(rest, most)
        is_held = budget.record.on_exhausted == Exhausted.HOLD
        hopeless = parked.above(budget.record.amount if is_held else rest + budget.reserved, most)
        self.room.unpark_jobs(budget_id, budget, fitting + hopeless)
        if max(len(fitting), len(hopeless)) == most:
            return self.now_ms + 1
        wait = budget.next_period_ms(self.now_ms)
        return self.now_ms + wait if budget.has_parked and wait < FOREVER else None

    # ---- trying

    def _try(self, tree: str) -> None:
        head = self._head(tree)
        if head is None:
            return
        model = self.room.lists.get(split_tree(tree)[0])
        if model is None:
            self._refuse(head, Refusal.NOT_CONFIGURED, marks.split(split_tree(tree)[0])[0])
        elif self._path_lets_pass(head):
            self._find_deployment(head, model)

    def _head(self, tree: str) -> Head | None:
        """The job whose turn it is; None where a node had to be put right first."""
        tenant, _ = self.room.first_tenant(tree) or ("", 0)
        user, _ = self.room.first_user(tree, tenant) or ("", 0)
        leaf = self.room.leaves[tree, tenant, user].first()
        if leaf is None:
            self.room.drop_user(tree, tenant, user)
            return None
        if not self.room.put_right(tree, leaf[0]):
            return None
        member, order = self.room.jobs[tree, leaf[0]].first() or (b"", 0)
        job_id, input_tokens, output_tokens, max_output_tokens, attempt = unpack_member(member)
        reservation = ReservationId(job_id, attempt + 1)
        path = self.room.paths.resolve(leaf[0])
        if path is None or self.is_reserved(reservation):  # not known any more; or it came in twice, with two estimates
            self.room.take_job(tree, leaf[0], member)
            if path is None:
                self.refused.append(Refused(job_id, attempt, Refusal.NOT_CONFIGURED, self.room.paths.missing(leaf[0])))
            return None
        cost = self._most(split_tree(tree)[0], input_tokens, max_output_tokens)
        need = Need(input_tokens, output_tokens, max_output_tokens, cost)
        return Head(tree, split_tree(tree)[2], path, member, order, need, reservation)

    def _refuse(self, head: Head, reason: Refusal, binding: str) -> None:
        self.room.take_job(head.tree, head.path.id, head.member)
        self.refused.append(Refused(head.reservation.job, head.reservation.attempt - 1, reason, binding))

    def _path_lets_pass(self, head: Head) -> bool:
        """Limits and budgets of the path. What is in the way for ever refuses the job; what is in the way for now parks it.

        Where the path's other limits have room, one more of those parked under each may try in its place.
        """
        longest, blocker, free = 0, None, []
        for limit_id, limit in self.room.table.find(head.path.limits, self.now_ms):
            amount = head.need.of(limit.record.metric)
            wait = self._wait(limit_id, limit, amount, head.lane)
            self._note_exhausted(limit_id, limit, amount, wait)
            reason = self._reason(limit_id, limit, wait, head.path.tenant)
            if reason is not None:
                self._refuse(head, reason, limit_id)
                return False
            if wait > longest:
                longest, blocker = wait, (limit_id, limit)
            elif wait == 0 and limit.has_parked and limit.record.kind != Kind.BUDGET:
                free.append((limit_id, limit))
        if blocker is None:
            return True
        self._set_aside(head, *blocker, longest)
        for limit_id, limit in free:
            self.room.unpark(limit_id, limit)
        return False

    def _reason(self, limit_id: str, limit: LimitState, wait: int, tenant: str) -> Refusal | None:
        """Why a job can never pass a limit of its path; None where it can."""
        if wait == DOWNGRADE:
            return Refusal.DOWNGRADE
        if wait == NEVER:
            return Refusal.BUDGET_EXHAUSTED if limit.record.kind == Kind.BUDGET else Refusal.EXCEEDS_LIMIT
        table = self.room.table
        is_full = table.is_new_node(limit_id) and table.nodes[tenant] >= self.settings.most_nodes
        return Refusal.TOO_MANY_NODES if is_full else None

    def _note_exhausted(self, limit_id: str, limit: LimitState, amount: int, wait: int) -> None:
        """The first job that a budget can no longer pay: people hear of it as of all spent."""
        if isinstance(limit, Budget) and wait != 0 and amount <= limit.record.amount < limit.total - limit.reserved + amount:
            self.notices.thresholds(limit_id, limit, self.now_ms, is_exhausted=True)
            self.room.table.keep(limit_id, limit, "", self.now_ms)

    def _set_aside(self, head: Head, limit_id: str, limit: LimitState, wait: int) -> None:
        opens_at = self.now_ms + wait if wait < FOREVER else None
        if isinstance(limit, Budget):
            kept = limit.record.amount - limit.record.amount_for(head.lane)
            self.room.park_job(limit_id, limit, head.tree, head.path, head.member, head.need.of(limit.record.metric) + kept)
            if opens_at is not None:
                self.room.wake_by(limit_id, opens_at)
        elif limit.record.level == Level.SHARED:
            self._close_limit(limit_id, wait, head.lane)
            self.choosing.close_model(split_tree(head.tree)[0], head.lane)
            self._note_closed(wait, limit_id)
        else:
            self.room.table.keep(limit_id, limit, head.path.tenant, self.now_ms)
            self.room.park(limit_id, limit, head.tree, head.path, head.order, opens_at)

    def _find_deployment(self, head: Head, model: ModelRecord) -> None:
        """One of the deployments with room takes the job.

        Where none has, the model is closed in this step; where none ever could, the job is refused.
        """
        waited_ms = self.now_ms - came_ms(head.member, head.order)
        asked = ask(model, waited_ms, lambda deployment: self._deployment_wait(deployment, head.need, head.lane))
        if asked.fitting:
            self._grant(head, self.room.lists.choose(model, asked.fitting, head.reservation))
        elif asked.never and not asked.blocked:
            self._refuse(head, Refusal.EXCEEDS_LIMIT, asked.never)
        elif not (asked.never and self._wait_alone(head, asked)):
            self._close_list(head, asked)

    def _wait_alone(self, head: Head, asked: Asked) -> bool:
        """Others may fit where this one never does: it alone waits, under a limit that is in its way. False: none of these is a limit."""
        shortest, binding = asked.shortest
        for blocker in (binding, *(blocker for blocker, _ in asked.blocked)):
            limit = self.room.table.get(blocker, self.now_ms)
            if limit is not None:
                opens_at = self.now_ms + shortest if shortest < FOREVER else None
                self.room.park(blocker, limit, head.tree, head.path, head.order, opens_at)
                return True
        return False

    def _close_list(self, head: Head, asked: Asked) -> None:
        """A list has no room now; where one would have it but for its wait, only this tree: others may have waited longer."""
        for blocker, wait in asked.blocked:
            if self.room.table.get(blocker, self.now_ms) is not None:
                self._close_limit(blocker, wait, head.lane)
        if asked.is_held:
            self.choosing.close_tree(head.tree)
        else:
            self.choosing.close_model(split_tree(head.tree)[0], head.lane)
        self._note_closed(*asked.shortest)

    def _deployment_wait(self, deployment: DeploymentRecord, need: Need, lane: Lane) -> tuple[int, str]:
        """(longest wait, what is in the way) over its breaker, cooldowns and limits."""
        longest = self.breakers.wait_ms(deployment, self.now_ms)
        blocker = f"breaker:{deployment.id}" if longest else ""
        for target in deployment.cools:
            wait = self.cooling.get(target, 0) - self.now_ms
            if wait > longest:
                longest, blocker = wait, target
        for limit_id, limit in self.room.table.find(deployment.limits, self.now_ms):
            wait = self._wait(limit_id, limit, need.of(limit.record.metric), lane)
            if wait == NEVER:
                return NEVER, limit_id
            if wait > longest:
                longest, blocker = wait, limit_id
        return longest, blocker

    def _wait(self, limit_id: str, limit: LimitState, amount: int, lane: Lane) -> int:
        """As the limit's own wait_ms, but order holds under it: behind a closed or a parked-on limit nobody overtakes in his lane."""
        kind = limit.record.kind
        if kind not in (Kind.BUDGET, Kind.PAUSE) and amount > limit.bound_for(lane):
            return NEVER
        closed, closed_lane = self.closed_limits.get(limit_id, (0, NO_LANE))
        if lane >= closed_lane:
            return closed
        if limit.opens_at > self.now_ms and limit.has_parked and lane >= self.room.first_parked_lane(limit_id):
            return limit.opens_at - self.now_ms
        return limit.wait_ms(amount, self.now_ms, lane)

    def _close_limit(self, limit_id: str, wait: int, lane: Lane) -> None:
        self.closed_limits[limit_id] = (wait, min(lane, self.closed_limits.get(limit_id, (0, NO_LANE))[1]))

    def _note_closed(self, wait: int, binding: str) -> None:
        self.binding = self.binding or binding
        if wait < FOREVER:
            self.opens_ms = min(self.opens_ms, self.now_ms + wait)

    # ---- granting

    def _grant(self, head: Head, deployment: DeploymentRecord) -> None:
        model, work_class, lane = split_tree(head.tree)
        need, charges = head.need, self._charge(head, deployment)
        send_by = self.now_ms + self._unsent_for(charges)
        generation = self.breakers.grant(deployment, head.reservation, self.now_ms)
        settled = [charge for charge in charges if self._record(charge[0]).is_settled]
        others = [charge for charge in charges if charge not in settled]
        reservation = Reservation(head.path.id, model, lane, work_class, need, others, self.now_ms, deployment.id, generation, settled)
        self.reserve(head.reservation, reservation, send_by)
        self.room.advance_tags(head.tree, head.path, need.of_share() * TAG_SCALE)
        self.room.take_job(head.tree, head.path.id, head.member)
        self.choosing.count_floor(head.tree)
        self.granted.append(
            Grant(
                reservation=head.reservation,
                model=model,
                deployment=deployment.id,
                lane=lane,
                work_class=work_class,
                cost=need.cost,
                send_by_ms=send_by,
                input_tokens=need.input_tokens,
                max_output_tokens=need.max_output_tokens,
            )
        )

    def _charge(self, head: Head, deployment: DeploymentRecord) -> list[tuple[str, int]]:
        """Take what the attempt needs of each limit; one more of those parked under it may try."""
        charges = []
        for limit_id, limit in self.room.table.charged(head.path.limits + deployment.limits, self.now_ms):
            amount = head.need.of(limit.record.metric)
            limit.take(amount, self.now_ms)
            self.room.table.keep(limit_id, limit, head.path.tenant, self.now_ms)
            charges.append((limit_id, amount))
            if limit.has_parked and limit.record.kind != Kind.BUDGET and limit.opens_at <= self.now_ms:
                self.room.unpark(limit_id, limit)
        return charges

    def _unsent_for(self, charges: list[tuple[str, int]]) -> int:
        """How long the grant may stay unsent: never so long that a window forgets it before its sending is known."""
        records = (self._record(limit_id) for limit_id, _ in charges)
        shortest = min((record.window_ms for record in records if record.kind == Kind.WINDOW), default=FOREVER)
        return min(self.settings.send_by_ms, max(SHORTEST_UNSENT_MS, shortest // 2))

    def _record(self, limit_id: str) -> LimitRecord:
        return self.room.table.records[limit_id.partition("@")[0]]

    def _most(self, model: str, input_tokens: int, max_output_tokens: int) -> int:
        """The most that the attempt can cost at the dearest deployment, nano-dollars, rounded up."""
        record = self.room.lists.get(model)
        pico = (input_tokens * d.input_pico + max_output_tokens * d.output_pico for d in (record.deployments if record else ()))
        return -(-max(pico, default=0) // 1000)
