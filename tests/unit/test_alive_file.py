"""A worker's file tells whether its event loop turns."""

# ruff: noqa: ASYNC110 -- nothing announces a file that was touched

import asyncio

from rateguard.worker.alive import AliveFile


async def seen(path, *, again_after=0):
    """Until the file is there, touched after that time."""
    while not path.exists() or path.stat().st_mtime_ns <= again_after:
        await asyncio.sleep(0.001)
    return path.stat().st_mtime_ns


async def test_it_is_touched_again_and_again_and_gone_after_the_end(tmp_path):
    path = tmp_path / "alive"
    alive = AliveFile(str(path), 0.001)
    alive.start()
    async with asyncio.timeout(10):
        await seen(path, again_after=await seen(path))
    alive.stop()
    assert not path.exists()


async def test_a_file_that_cannot_be_written_stops_no_worker(tmp_path, caplog):
    alive = AliveFile(str(tmp_path / "no" / "folder"), 0.001)
    alive.start()
    async with asyncio.timeout(10):
        while "ALIVE_FILE" not in caplog.text:
            await asyncio.sleep(0.001)
    alive.stop()


async def test_without_a_path_nothing_is_written():
    alive = AliveFile(None, 0.001)
    alive.start()
    alive.stop()
