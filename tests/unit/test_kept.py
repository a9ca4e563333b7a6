"""What is fetched and runs out is kept while it is good, renewed while it is used, and fetched once for many."""

import asyncio
import concurrent.futures
import threading

import pytest

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.kept import PAUSE_S, Fresh, Keeper, named

LIFE_S, EARLY_S, LAST_S = 1_000.0, 100.0, 10.0


class World:
    """A clock, and a source that gives numbered values, or fails."""

    def __init__(self) -> None:
        self.now, self.count, self.failure, self.gate = 0.0, 0, None, None
        self.keeper = Keeper(lambda: self.now, early_s=EARLY_S, last_use_s=LAST_S)

    async def fetch(self) -> Fresh[str]:
        self.count += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.failure:
            raise self.failure
        return Fresh(f"v{self.count}", self.now + LIFE_S)

    async def get(self, name="a"):
        return await self.keeper.get(name, self.fetch)


@pytest.fixture
def world():
    return World()


async def others_end():
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def test_one_fetch_serves_all_who_ask_at_once_and_later(world):
    assert set(await asyncio.gather(*(world.get() for _ in range(20)))) == {"v1"}
    world.now = LIFE_S - EARLY_S - 1
    assert await world.get() == "v1"
    assert await world.get("b") == "v2"


async def test_shortly_before_its_end_the_old_one_is_used_while_one_renewal_runs(world):
    await world.get()
    world.now, world.gate = LIFE_S - EARLY_S, asyncio.Event()
    assert [await world.get() for _ in range(5)] == ["v1"] * 5
    world.gate.set()
    await others_end()
    assert (await world.get(), world.count) == ("v2", 2)


async def test_a_failed_renewal_keeps_the_old_one_until_it_is_over_and_is_tried_again_after_a_pause(world):
    await world.get()
    world.now, world.failure = LIFE_S - EARLY_S, ProviderError("down", kind=ErrorKind.CONNECT)
    for _ in range(5):
        assert await world.get() == "v1"
        await others_end()
    assert world.count == 2
    world.now += PAUSE_S
    assert await world.get() == "v1"
    await others_end()
    assert world.count == 3
    world.now = LIFE_S - LAST_S
    with pytest.raises(ProviderError, match="down"):
        await world.get()
    world.failure = None
    assert await world.get() == "v5"


async def test_one_that_was_refused_is_used_no_more(world):
    await world.get()
    world.keeper.forget("a")
    assert await world.get() == "v2"


async def test_who_gives_up_waiting_stops_no_fetch_of_others(world):
    world.gate = asyncio.Event()
    first, second = asyncio.create_task(world.get()), asyncio.create_task(world.get())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    world.gate.set()
    assert await second == "v1"
    assert world.count == 1


def test_many_threads_make_one_fetch(world):
    is_asked, may_go = threading.Event(), threading.Event()

    async def slow() -> Fresh[str]:
        is_asked.set()
        await asyncio.to_thread(may_go.wait, 5)
        return await world.fetch()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(world.keeper.now, "a", slow)]
        is_asked.wait(5)
        asking += [pool.submit(world.keeper.now, "a", slow) for _ in range(3)]
        may_go.set()
        assert {one.result(5) for one in asking} == {"v1"}
    assert world.count == 1


def test_no_secret_is_seen():
    assert "hush" not in repr(Fresh("hush", 1.0))
    assert "hush" not in named("hush")
    assert named("a", "bc") != named("ab", "c")
