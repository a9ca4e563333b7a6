"""The loop that admits, for the memory twin: the head of the best tree is granted, refused, parked, or closes its model.

admit.lua is the same, name by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rateguard.engine.gate.breakers import Breakers
from rateguard.engine.gate.codec import TAG_SCALE, split_tree, unpack_member
from rateguard.engine.gate.contract import DeploymentRecord, Grant, ModelRecord, Refusal, Refused, ReservationId, WorkClass
from rateguard.engine.gate.holders import Holders
from rateguard.engine.gate.notices import Notices
from rateguard.engine.gate.paths import Path
from rateguard.engine.gate.reservations import Reservation
from rateguard.engine.gate.room import SECOND_LOOK_MS, WAKE_NODES, Room
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Need
from rateguard.engine.limits.states import DOWNGRADE, FOREVER, NEVER, Budget, LimitState

FLOOR_CREDIT = 19
"""A lane with work is served after 19 grants to others: one in twenty, 5 %."""

SHORTEST_UNSENT_MS = 200
"""A grant may stay unsent for so long whatever the window: less no worker can keep."""

WAKE_JOBS = 16
"""A budget with room again wakes as many jobs as are wanted and so many more that fit, and as many that never will, at a time."""

NO_LANE = 9
"""Below the last lane."""


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

    closed_models, closed_limits: closed in this run for a lane and all below it.
    """

    room: Room
    breakers: Breakers
    notices: Notices
    cooling: dict[str, int]
    paused_lanes: dict[Lane, int]
    credits: dict[tuple[str, Lane], int]
    holders: Holders
    last_pool: str
    now_ms: int
    want: int
    is_reserved: Callable[[ReservationId], bool]
    reserve: Callable[[ReservationId, Reservation, int], None]
    granted: list[Grant] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    closed_models: dict[str, int] = dataclasses.field(default_factory=dict)
    closed_limits: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    opens_ms: int = FOREVER
    binding: str = ""
    tries: int = 0

    def run(self) -> bool:
        """Wake what is due, then admit. Returns whether it stopped at `want` with work left to look at."""
        self._wake_due()
        while len(self.granted) < self.want and self.tries < self.want * 4 + 64:
            tree = self._best_tree()
            if tree is None:
                return False
            self.tries += 1
            self._try(tree)
        return self._best_tree() is not None

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

    # ---- choosing

    def _best_tree(self) -> str | None:
        """Lanes that are owed their floor first (the lowest first), else by lane, synchronous before jobs, pools in turn, tag.

        Tags are equal where one tenant waits for several models: there the user whose turn it is goes first, then the head that came first.
        """

        def rank(entry: tuple[str, int]) -> tuple[int, int, tuple[int, str], int]:
            tree, tag = entry
            _, work_class, lane = split_tree(tree)
            pool = self._pool(tree)
            owed = self.credits.get((pool, lane), 0) >= FLOOR_CREDIT
            return -lane if owed else lane, work_class, self._turn(pool), tag

        open_trees = [(tree, head[1]) for tree in sorted(self.room.trees) if (head := self._open_head(tree)) is not None]
        if not open_trees:
            return None
        ranks = [(rank(entry), entry[0]) for entry in open_trees]
        best = min(found for found, _ in ranks)
        level = [tree for found, tree in ranks if found == best]
        return level[0] if len(level) == 1 else min(level, key=lambda tree: (*self._came(tree), tree))

    def _turn(self, pool: str) -> tuple[int, str]:
        """Pools go round by name: first those behind the one served last, that one at the end."""
        return (0 if pool > self.last_pool else 1 if pool < self.last_pool else 2), pool

    def _came(self, tree: str) -> tuple[int, int]:
        """The tag of the user whose turn it is in a tree, and the order of his head job; 0 where a node has to be put right first."""
        tenant, _ = self.room.first_tenant(tree) or ("", 0)
        user, tag = self.room.first_user(tree, tenant) or ("", 0)
        _, order = self.room.leaves[tree, tenant, user].first() or ("", 0)
        return tag, order

    def _open_head(self, tree: str) -> tuple[str, int] | None:
        model, work_class, lane = split_tree(tree)
        if lane >= self.closed_models.get(model, NO_LANE) or self._is_paused(lane):
            return None
        if work_class == WorkClass.JOB and self.holders.room(lane, self.now_ms) <= 0:
            return None
        return self.room.first_tenant(tree)

    def _is_paused(self, lane: Lane) -> bool:
        until_ms = self.paused_lanes.get(lane)
        return until_ms is not None and not 0 < until_ms <= self.now_ms

    def _pool(self, tree: str) -> str:
        return self.room.plane(tree)[:-4]

    # ---- trying

    def _try(self, tree: str) -> None:
        head = self._head(tree)
        if head is None:
            return
        model = self.room.models.get(split_tree(tree)[0])
        if model is None:
            self._refuse(head, Refusal.NOT_CONFIGURED, split_tree(tree)[0])
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
        is_full = table.is_new_node(limit_id) and table.nodes[tenant] >= self.holders.settings.most_nodes
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
            self._close(split_tree(head.tree)[0], limit_id, wait, head.lane)
        else:
            self.room.table.keep(limit_id, limit, head.path.tenant, self.now_ms)
            self.room.park(limit_id, limit, head.tree, head.path, head.order, opens_at)

    def _find_deployment(self, head: Head, model: ModelRecord) -> None:
        """The first deployment with room takes the job.

        Where none has, the model is closed in this step; where none ever could, the job is refused.
        """
        shortest, binding, never, blocked = FOREVER, "", "", {}
        for deployment in model.deployments:
            wait, blocker = self._deployment_wait(deployment, head.need, head.lane)
            if wait == 0:
                self._grant(head, deployment)
                return
            if wait == NEVER:
                never = never or blocker
                continue
            blocked[blocker] = wait
            if wait <= shortest:
                shortest, binding = wait, blocker
        if never and not blocked:
            self._refuse(head, Refusal.EXCEEDS_LIMIT, never)
            return
        limit = self.room.table.get(binding, self.now_ms)
        if never and limit is not None:  # others may fit where this one never does: it alone waits
            self.room.park(binding, limit, head.tree, head.path, head.order, self.now_ms + shortest if shortest < FOREVER else None)
            return
        for limit_id, wait in blocked.items():
            if self.room.table.get(limit_id, self.now_ms) is not None:
                self._close_limit(limit_id, wait, head.lane)
        self._close(model.name, binding, shortest, head.lane)

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

    def _close(self, model: str, binding: str, wait: int, lane: Lane) -> None:
        self.closed_models[model] = min(lane, self.closed_models.get(model, NO_LANE))
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
        self._count_floor(head.tree)
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
        return min(self.holders.settings.send_by_ms, max(SHORTEST_UNSENT_MS, shortest // 2))

    def _record(self, limit_id: str) -> LimitRecord:
        return self.room.table.records[limit_id.partition("@")[0]]

    def _count_floor(self, tree: str) -> None:
        """Each other lane of the pool with an open head comes a step nearer to its floor."""
        pool, lane = self._pool(tree), split_tree(tree)[2]
        self.credits[pool, lane] = max(0, self.credits.get((pool, lane), 0) - FLOOR_CREDIT)
        waiting_lanes = {split_tree(t)[2] for t in sorted(self.room.trees) if self._pool(t) == pool and self._open_head(t) is not None} - {
            lane
        }
        for other in waiting_lanes:
            self.credits[pool, other] = min(2 * FLOOR_CREDIT, self.credits.get((pool, other), 0) + 1)
        self.last_pool = pool

    def _most(self, model: str, input_tokens: int, max_output_tokens: int) -> int:
        """The most that the attempt can cost at the dearest deployment, nano-dollars, rounded up."""
        record = self.room.models.get(model)
        pico = (input_tokens * d.input_pico + max_output_tokens * d.output_pico for d in (record.deployments if record else ()))
        return -(-max(pico, default=0) // 1000)
