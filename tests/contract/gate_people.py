"""What people do to the rows while work goes on: edits, pauses, new and deleted limits. `which` picks among what there is."""

from __future__ import annotations

import dataclasses
import random

from rateguard.engine.breaker.rule import Forced
from rateguard.engine.gate.contract import Configuration, DeploymentRecord, ModelRecord, PausedLane, ScopeRecord
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Metric
from tests.contract import gate_world as world
from tests.contract.gate_pair import Pair

EDITS = ("half", "one", "double", "much", "length", "kind", "burst", "reserve", "mode")
MODEL_EDITS = ("forget", "bring", "bring", "turn", "reroute", "reroute", "lose", "dear", "closed", "open", "free", "free", "strict")
PAUSES_MS = (0, 500, 60_000)


def pick(which, among):
    """One of these, by number."""
    found = sorted(among)
    return found[which % len(found)]


class People:
    """Each change is one method; `first` is how everything was in the beginning."""

    def __init__(self, pair: Pair, first: Configuration) -> None:
        self._pair = pair
        self._first = first

    @property
    def _rows(self):
        return self._pair.ledger

    def edit_limit(self, which: int) -> None:
        record = self._record(which // len(EDITS))
        if record.kind != Kind.PAUSE:
            was = self._used(record.id)
            edited = _edited(record, EDITS[which % len(EDITS)])
            self._pair.configure(limits=(edited,))
            if edited.window_ms == record.window_ms:
                assert was <= self._used(record.id) <= was + 1, f"what is used of an edited limit stays: {record} {edited}"

    def top_up(self, which: int) -> None:
        """Somebody adds money to a budget."""
        budgets = [name for name, record in self._rows.limits.items() if record.kind == Kind.BUDGET]
        if budgets:
            record = self._rows.limits[pick(which, budgets)]
            self._pair.configure(limits=(dataclasses.replace(record, amount=record.amount + 5_000),))

    def edit_comes_late(self, which: int) -> None:
        """A push that was overtaken by a newer one changes nothing."""
        record, node = self._record(which), self._node(which)
        stale = Configuration(0, (dataclasses.replace(record, amount=1),), (ScopeRecord(node.id, weight=9),), forget_limits=(record.id,))
        self._pair.both(lambda gate: gate.configure(stale))

    def attach_or_detach(self, which: int) -> None:
        """A limit comes to a node, perhaps one with waiting jobs, or leaves it."""
        node = self._node(which // 4)
        names = [name for name in world.candidates_of(node.id) if name in self._rows.limits]
        if names:
            name = names[which % len(names)]
            limits = tuple(one for one in node.limits if one != name)
            self._pair.configure(scopes=(dataclasses.replace(node, limits=limits if name in node.limits else (*limits, name)),))

    def forget_limit(self, which: int) -> None:
        """A limit is deleted, and with it its place on its nodes."""
        name = self._record(which).id
        if not name.startswith("pause"):
            self._pair.configure(forget_limits=(name,), scopes=tuple(self._nodes_without(name)))

    def weigh(self, which: int) -> None:
        self._pair.configure(scopes=(dataclasses.replace(self._node(which // 3), weight=(1, 3, 1_000)[which % 3]),))

    def edit_defaults(self, which: int) -> None:
        """A default comes or goes; or a user gets or loses what he has instead of it."""
        tenant = world.TENANTS[which % 3]
        node, default = self._rows.scopes[tenant], world.defaults_of(tenant)[which % 2]
        user = self._rows.scopes.get(f"{tenant}|user:a", ScopeRecord(f"{tenant}|user:a"))
        if which % 4 == 3:
            self._pair.configure(scopes=(dataclasses.replace(user, without=() if user.without else (f"u{tenant}:w",)),))
        else:
            kept = tuple(one for one in node.defaults if one != default)
            self._pair.configure(scopes=(dataclasses.replace(node, defaults=kept if default in node.defaults else (*kept, default)),))

    def forget_node(self, which: int) -> None:
        """A node below a tenant is deleted; a run that is gone takes no more work."""
        below = [node for node in self._rows.scopes if "|" in node]
        if below:
            self._pair.configure(forget_scopes=(pick(which, below),))

    def bring_node(self, which: int) -> None:
        """A node that was deleted is made again, as it was first."""
        gone = {record.id: record for record in self._first.scopes if record.id not in self._rows.scopes}
        if gone:
            record = gone[pick(which, gone)]
            limits = tuple(name for name in record.limits if name in self._rows.limits)
            self._pair.configure(scopes=(dataclasses.replace(record, limits=limits),))

    def edit_model(self, which: int) -> None:
        how, records = MODEL_EDITS[which % len(MODEL_EDITS)], self._rows.models
        if how == "forget" and records:
            self._pair.configure(forget_models=(pick(which, records),))
        elif how == "bring":
            self._pair.configure(models=self._first.models)
        elif how != "forget":
            name = str(which % 4 + 1)
            rnd = random.Random(which)
            self._pair.configure(models=tuple(_edited_model(model, how, name, rnd) for model in records.values()))

    def reset_breaker(self, which: int) -> None:
        self._pair.both(lambda gate: gate.reset_breaker(str(which % 4 + 1)))

    def pause_or_resume(self, which: int) -> None:
        node, name = self._node(which // 3), f"pause{self._rows.version}"
        paused = [limit for limit in node.limits if limit.startswith("pause")]
        if paused:
            kept = tuple(limit for limit in node.limits if limit not in paused)
            self._pair.configure(scopes=(dataclasses.replace(node, limits=kept),), forget_limits=tuple(paused))
            return
        level = Level.SHARED if not node.id else Level.TENANT if "|" not in node.id else Level.LEAF
        record = LimitRecord(name, Kind.PAUSE, Metric.REQUESTS, self._until(PAUSES_MS[which % 3]), level)
        self._pair.configure(limits=(record,), scopes=(dataclasses.replace(node, limits=(*node.limits, name)),))

    def pause_lanes(self, which: int) -> None:
        until_ms = self._until(PAUSES_MS[which % 3])
        lanes = [lane for lane in Lane if which // 3 >> lane & 1]
        self._pair.configure(paused_lanes=tuple(PausedLane(lane, until_ms) for lane in lanes[:2]))

    def lift_everything(self) -> None:
        """Nothing stops work for ever any more: no pause, no forced breaker, no spent budget, no missing model."""
        rows = self._rows
        paused = tuple(name for name, record in rows.limits.items() if record.kind == Kind.PAUSE)
        nodes = tuple(dataclasses.replace(node, limits=tuple(set(node.limits) - set(paused))) for node in rows.scopes.values())
        topped = tuple(dataclasses.replace(record, amount=10**12) for record in rows.limits.values() if record.kind == Kind.BUDGET)
        self._pair.configure(limits=topped, scopes=nodes, models=self._first.models, forget_limits=paused, paused_lanes=())

    def _used(self, limit: str) -> int:
        return self._pair.memory.inspect((limit,)).limits[0].used

    def _until(self, for_ms: int) -> int:
        return self._pair.clock.now_ms + for_ms if for_ms else 0

    def _record(self, which: int) -> LimitRecord:
        return self._rows.limits[pick(which, self._rows.limits)]

    def _node(self, which: int) -> ScopeRecord:
        return self._rows.scopes[pick(which, self._rows.scopes)]

    def _nodes_without(self, name: str):
        """The nodes that have a limit, without it."""
        for node in self._rows.scopes.values():
            defaults = tuple((kind, tuple(one for one in ids if one != name)) for kind, ids in node.defaults)
            limits = tuple(one for one in node.limits if one != name)
            if (limits, defaults) != (node.limits, node.defaults):
                yield dataclasses.replace(node, limits=limits, defaults=defaults)


CHANGES = tuple(name for name in vars(People) if not name.startswith("_") and name != "lift_everything")


def _edited(record: LimitRecord, how: str) -> LimitRecord:
    change = {
        "half": {"amount": max(1, record.amount // 2)},
        "one": {"amount": 1},
        "double": {"amount": record.amount * 2},
        "much": {"amount": max(record.amount, 10**6)},
        "reserve": {"reserve_permille": 0 if record.reserve_permille else 500, "reserve_lane": 2},
    }
    if how in change:
        return dataclasses.replace(record, **change[how])
    if record.window_ms and how == "length":
        return dataclasses.replace(record, window_ms={1_000: 60_000, 10_000: 7_777}.get(record.window_ms, 1_000))
    if record.window_ms and how == "kind" and record.metric != Metric.PROVIDER_TOKENS:
        return dataclasses.replace(record, kind=Kind.BUCKET if record.kind == Kind.WINDOW else Kind.WINDOW)
    if record.window_ms and how == "burst":
        return dataclasses.replace(record, burst_permille=1_000 if record.burst_permille < 1_000 else 500)
    if record.kind == Kind.BUDGET and how == "mode":
        return dataclasses.replace(record, on_exhausted=Exhausted((record.on_exhausted + 1) % 3))
    return record


def _edited_model(model: ModelRecord, how: str, deployment: str, rnd: random.Random) -> ModelRecord:
    if how == "turn":
        return dataclasses.replace(model, deployments=world.in_order(model.deployments[::-1]))
    if how == "reroute":
        return world.rerouted(rnd, model)
    if how == "lose":
        return dataclasses.replace(model, deployments=tuple(one for one in model.deployments if one.id != deployment) or model.deployments)
    found = (_edited_deployment(one, how) if one.id == deployment else one for one in model.deployments)
    return dataclasses.replace(model, deployments=tuple(found))


def _edited_deployment(deployment: DeploymentRecord, how: str) -> DeploymentRecord:
    forced = {"closed": Forced.CLOSED, "open": Forced.OPEN, "free": Forced.NO}
    if how == "dear":
        return dataclasses.replace(deployment, output_pico=deployment.output_pico * 2 % 20_000 + 1)
    change = {"failures": 1} if how == "strict" else {"forced": forced[how]}
    return dataclasses.replace(deployment, breaker=dataclasses.replace(deployment.breaker, **change))
