"""A tiny Celery project for the pool's tests: its tasks report and wait through Redis lists, so that tests wait for events."""

import asyncio
import contextlib
import os
import threading
import time

import redis
import redis.asyncio
from celery import Celery, current_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import task_prerun

from rateguard.worker import lifecycle
from rateguard.worker.pool import AsyncioPool

URL = os.environ["POOL_PROJECT_REDIS"]
WAIT_S = 60

app = Celery("pool_project", broker=URL, backend=URL)
app.conf.update(
    worker_pool="rateguard.worker.pool:AsyncioPool",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_transport_options={"visibility_timeout": 3600},
)
if folder := os.environ.get("POOL_PROJECT_BROKER_FOLDER"):  # a transport without an event loop
    folders = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": f"{folder}/control"}
    app.conf.update(broker_url="filesystem://", broker_transport_options=folders)
AsyncioPool.DRAIN_S = float(os.environ.get("POOL_PROJECT_DRAIN_S", AsyncioPool.DRAIN_S))
events = redis.Redis.from_url(URL, decode_responses=True, socket_timeout=None)
_clients: list[redis.asyncio.Redis] = []


@lifecycle.at_start
async def open_client() -> None:
    hook = os.environ.get("POOL_PROJECT_START", "")
    if hook == "fails":
        raise OSError("the start hook failed")
    if hook == "hangs":
        await asyncio.Event().wait()
    _clients.append(redis.asyncio.Redis.from_url(URL, decode_responses=True, socket_timeout=None))


@lifecycle.at_drain
async def say_draining() -> None:
    if _clients:
        await _clients[0].rpush("draining", "yes")


@lifecycle.at_stop
async def close_client() -> None:
    if _clients:
        await _clients[0].rpush("stopped", "yes")
        await _clients[0].aclose()


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
async def aadd(x: int, y: int) -> int:
    await asyncio.sleep(0)
    return x + y


@app.task
async def total(values: list[int]) -> int:
    return sum(values)


@app.task
async def boom(text: str) -> None:
    await asyncio.sleep(0)
    raise ValueError(text)


@app.task
def sync_boom(text: str) -> None:
    raise ValueError(text)


@app.task
async def leave_process() -> None:
    raise SystemExit(3)


@app.task
async def cancelled_within() -> None:
    child = asyncio.ensure_future(asyncio.sleep(60))
    child.cancel()
    await child


@app.task(bind=True, max_retries=3)
async def flaky(self) -> dict:
    async def seen_by_child() -> str:
        return self.request.id

    child = await asyncio.gather(seen_by_child())
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return {"retries": self.request.retries, "id": self.request.id, "child": child[0], "current": current_task.request.id}


@app.task(autoretry_for=(OSError,), retry_kwargs={"max_retries": 3, "countdown": 0})
async def flaky_by_itself(key: str) -> int:
    attempt = await _clients[0].incr(key)
    if attempt < 3:
        raise OSError("not yet")
    return attempt


@app.task
async def parent() -> str:
    await asyncio.sleep(0)
    return add.delay(1, 1).id


@app.task
async def where() -> list[str]:
    return [threading.current_thread().name, type(asyncio.get_running_loop()).__module__]


@app.task
def sync_where() -> str:
    return threading.current_thread().name


async def _released(key: str) -> None:
    while True:
        with contextlib.suppress(redis.ConnectionError):  # a test cuts all connections
            await _clients[0].blpop(key, timeout=WAIT_S)
            return


async def _hold(name: str, *, release: str) -> None:
    try:
        await _clients[0].rpush("started", name)
        await _released(release)
    except asyncio.CancelledError:
        events.rpush("cancelled", name)
        raise
    await _clients[0].rpush("ended", name)


@app.task
async def hold(name: str) -> None:
    await _hold(name, release="release")


@app.task(acks_late=True)
async def late_hold(name: str) -> None:
    await _hold(name, release="release")


@app.task
async def unbound_hold(name: str) -> None:
    await _hold(name, release="release_unbound")


unbound_hold.pool_slots = 0


@app.task
def sync_hold(name: str) -> None:
    events.rpush("started", name)
    events.blpop(["release"], timeout=WAIT_S)
    events.rpush("ended", name)


@app.task(ignore_result=True)
async def hot(text: str) -> str:
    await _clients[0].rpush("hot", text)
    if text == "fails":
        raise ValueError(text)
    return text


hot.is_hot = True


@task_prerun.connect(sender=hot)
def say_traced(**_: object) -> None:
    events.rpush("traced", "hot")


@task_prerun.connect(sender=aadd)
def say_asked(**_: object) -> None:
    events.rpush("aadd was traced", "yes")


@app.task
async def tidy_up() -> str:
    try:
        await asyncio.sleep(WAIT_S)
    except SoftTimeLimitExceeded:
        async with asyncio.timeout(5):
            await asyncio.sleep(0)
        return "tidied"
    return "slept"


@app.task
async def sleep() -> None:
    await asyncio.sleep(WAIT_S)


@app.task
def sync_sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"
