"""The loop that admits, for the memory twin: the head of the best tree is granted, refused, parked, or closes its model.

admit.lua is the same, name by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from rateguard.engine.gate.codec import TAG_SCALE, split_tree, unpack_member
from rateguard.engine.gate.contract import DeploymentRecord, Grant, ModelRecord, PathRecord, Refusal, Refused, ReservationId, WorkClass
from rateguard.engine.gate.holders import Holders
from rateguard.engine.gate.reservations import Reservation
from rateguard.engine.gate.room import SECOND_LOOK_MS, Room
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Level, Need
from rateguard.engine.limits.states import FOREVER, NEVER, LimitState

FLOOR_CREDIT = 19
"""A lane with work is served after 19 grants to others: one in twenty, 5 %."""

SHORTEST_UNSENT_MS = 200
"""A grant may stay unsent for so long whatever the window: less no worker can keep."""

WAKE_JOBS = 16
"""A settled budget wakes at most so many jobs that fit, and as many that never will, at a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Head:
    """A candidate: the job whose turn it is in a tree."""

    tree: str
    tenant: str
    path: PathRecord
    member: bytes
    need: Need
    reservation: ReservationId


@dataclasses.dataclass(slots=True)
class Admission:
    """One run of the loop over the gate's state. `reserve` takes over each granted reservation."""

    room: Room
    limits: dict[str, LimitState]
    cooling: dict[str, int]
    credits: dict[tuple[str, Lane], int]
    holders: Holders
    last_pool: str
    now_ms: int
    want: int
    is_reserved: Callable[[ReservationId], bool]
    reserve: Callable[[ReservationId, Reservation, int], None]
    granted: list[Grant] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    closed_models: set[str] = dataclasses.field(default_factory=set)
    closed_limits: dict[str, int] = dataclasses.field(default_factory=dict)
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
            limit = self.limits.get(limit_id)
            if limit is None:
                self.room.wake.remove(limit_id)
                continue
            if limit.record.kind == Kind.BUDGET:
                look_again = self._wake_jobs(limit)
            else:
                self.room.unpark(limit)
                look_again = limit.has_parked
            self.room.wake_at(limit, self.now_ms + SECOND_LOOK_MS if look_again else None)

    def _wake_jobs(self, budget: LimitState) -> bool:
        """Jobs that fit the rest, and jobs that never will, are tried again; others wait for the next settle.

        Returns whether there may be more.
        """
        parked = self.room.parked_jobs[budget.record.id]
        rest = budget.record.amount - budget.total
        settled_rest = rest + getattr(budget, "reserved", 0)
        fitting, hopeless = parked.up_to(rest, WAKE_JOBS), parked.above(settled_rest, WAKE_JOBS)
        self.room.unpark_jobs(budget, fitting + hopeless)
        return max(len(fitting), len(hopeless)) == WAKE_JOBS

    # ---- choosing

    def _best_tree(self) -> str | None:
        """Lanes that are owed their floor first (the lowest first), else by lane, synchronous before jobs, pools in turn, tag, first come.

        Tags are equal where one tenant waits for several models: there the head that came first must go first, or a large job would starve.
        """

        def rank(entry: tuple[str, int]) -> tuple[int, int, tuple[int, str], int, int, str]:
            tree, tag = entry
            _, work_class, lane = split_tree(tree)
            pool = self._pool(tree)
            owed = self.credits.get((pool, lane), 0) >= FLOOR_CREDIT
            return (-lane if owed else lane, work_class, self._turn(pool), tag, self._came(tree), tree)

        open_trees = [(tree, head[1]) for tree in sorted(self.room.trees) if (head := self._open_head(tree)) is not None]
        return min(open_trees, key=rank)[0] if open_trees else None

    def _turn(self, pool: str) -> tuple[int, str]:
        """Pools go round by name: first those behind the one served last, that one at the end."""
        return (0 if pool > self.last_pool else 1 if pool < self.last_pool else 2), pool

    def _came(self, tree: str) -> int:
        """The order of the head job of a tree; 0 where a node has to be put right first."""
        tenant, _ = self.room.first_tenant(tree) or ("", 0)
        path, _ = self.room.leaves[tree, tenant].first() or ("", 0)
        _, order_ms = self.room.jobs[tree, path].first() or (b"", 0)
        return order_ms

    def _open_head(self, tree: str) -> tuple[str, int] | None:
        model, work_class, lane = split_tree(tree)
        if model in self.closed_models:
            return None
        if work_class == WorkClass.JOB and self.holders.room(lane, self.now_ms) <= 0:
            return None
        return self.room.first_tenant(tree)

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
        found = self.room.first_tenant(tree)
        if found is None:
            return None
        tenant, _ = found
        leaf = self.room.leaves[tree, tenant].first()
        if leaf is None:
            self.room.drop_tenant(tree, tenant)
            return None
        job = self.room.jobs[tree, leaf[0]].first()
        if job is None:
            self.room.drop_leaf(tree, tenant, leaf[0])
            return None
        job_id, input_tokens, output_tokens, max_output_tokens, attempt = unpack_member(job[0])
        if self.is_reserved(ReservationId(job_id, attempt + 1)):  # it came in twice, with two estimates
            self.room.take_job(tree, leaf[0], job[0])
            return None
        cost = self._most(split_tree(tree)[0], input_tokens, max_output_tokens)
        need = Need(input_tokens, output_tokens, max_output_tokens, cost)
        return Head(tree, tenant, self.room.paths[leaf[0]], job[0], need, ReservationId(job_id, attempt + 1))

    def _refuse(self, head: Head, reason: Refusal, binding: str) -> None:
        self.room.take_job(head.tree, head.path.id, head.member)
        self.refused.append(Refused(head.reservation.job, head.reservation.attempt - 1, reason, binding))

    def _path_lets_pass(self, head: Head) -> bool:
        """Limits and budgets of the path. What is in the way for ever refuses the job; what is in the way for now parks it."""
        longest, blocker = 0, None
        for limit in self._states(head.path.limits):
            wait = self._wait(limit, head.need.of(limit.record.metric), split_tree(head.tree)[2])
            if wait == NEVER:
                reason = Refusal.BUDGET_EXHAUSTED if limit.record.kind == Kind.BUDGET else Refusal.EXCEEDS_LIMIT
                self._refuse(head, reason, limit.record.id)
                return False
            if wait > longest:
                longest, blocker = wait, limit
        if blocker is not None:
            self._set_aside(head, blocker, longest)
        return blocker is None

    def _set_aside(self, head: Head, limit: LimitState, wait: int) -> None:
        if limit.record.kind == Kind.BUDGET:
            self.room.park_job(limit, head.tree, head.path.id, head.member, head.need.cost)
        elif limit.record.level == Level.SHARED:
            self.closed_limits[limit.record.id] = wait
            self._close(split_tree(head.tree)[0], limit.record.id, wait)
        else:
            self.room.park(limit, head.tree, head.tenant, head.path.id, self.now_ms + wait if wait < FOREVER else None)

    def _find_deployment(self, head: Head, model: ModelRecord) -> None:
        """The first deployment with room takes the job.

        Where none has, the model is closed in this step; where none ever could, the job is refused.
        """
        shortest, binding, never, blocked = FOREVER, "", "", {}
        for deployment in model.deployments:
            wait, blocker = self._deployment_wait(deployment, head.need, split_tree(head.tree)[2])
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
        self.closed_limits.update((limit, wait) for limit, wait in blocked.items() if limit in self.limits)
        self._close(model.name, binding, shortest)

    def _deployment_wait(self, deployment: DeploymentRecord, need: Need, lane: Lane) -> tuple[int, str]:
        """(longest wait, what is in the way) over its cooldowns and limits."""
        longest, blocker = 0, ""
        for target in deployment.cools:
            wait = self.cooling.get(target, 0) - self.now_ms
            if wait > longest:
                longest, blocker = wait, target
        for limit in self._states(deployment.limits):
            wait = self._wait(limit, need.of(limit.record.metric), lane)
            if wait == NEVER:
                return NEVER, limit.record.id
            if wait > longest:
                longest, blocker = wait, limit.record.id
        return longest, blocker

    def _wait(self, limit: LimitState, amount: int, lane: Lane) -> int:
        """As the limit's own wait_ms, but order holds under it: behind a closed or a parked-on limit nobody overtakes in his lane."""
        if amount > limit.record.amount:
            return NEVER
        closed = self.closed_limits.get(limit.record.id, 0)
        if closed:
            return closed
        if limit.opens_at > self.now_ms and limit.has_parked and lane >= self.room.first_parked_lane(limit):
            return limit.opens_at - self.now_ms
        return limit.wait_ms(amount, self.now_ms)

    def _close(self, model: str, binding: str, wait: int) -> None:
        self.closed_models.add(model)
        self.binding = self.binding or binding
        if wait < FOREVER:
            self.opens_ms = min(self.opens_ms, self.now_ms + wait)

    # ---- granting

    def _grant(self, head: Head, deployment: DeploymentRecord) -> None:
        model, work_class, lane = split_tree(head.tree)
        need = head.need
        charges = [(s.record.id, need.of(s.record.metric)) for s in self._states(head.path.limits + deployment.limits)]
        for limit_id, amount in charges:
            limit = self.limits[limit_id]
            limit.take(amount, self.now_ms)
            if limit.has_parked and limit.record.kind != Kind.BUDGET and limit.opens_at <= self.now_ms:
                self.room.unpark(limit)
        send_by = self.now_ms + self._unsent_for(charges)
        self.reserve(head.reservation, Reservation(head.path.id, model, lane, work_class, need, charges, self.now_ms), send_by)
        self.room.take_job(head.tree, head.path.id, head.member)
        self.room.advance_tags(head.tree, head.tenant, head.path.id, need.of_share() * TAG_SCALE, head.path.weight)
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

    def _unsent_for(self, charges: list[tuple[str, int]]) -> int:
        """How long the grant may stay unsent: never so long that a window forgets it before its sending is known."""
        shortest = min((s.record.window_ms for s in self._states(tuple(dict(charges))) if s.record.window_ms), default=FOREVER)
        return min(self.holders.settings.send_by_ms, max(SHORTEST_UNSENT_MS, shortest // 2))

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

    def _states(self, ids: tuple[str, ...]) -> list[LimitState]:
        return [self.limits[limit_id] for limit_id in ids if limit_id in self.limits]
