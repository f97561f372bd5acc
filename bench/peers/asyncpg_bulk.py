"""Inserts rows (id, name, price, note) by asyncpg's executemany, a transaction each time, for so many seconds.
asyncpg_bulk.py DATABASE_URL TABLE ROWS SECONDS WARMUP_SECONDS; prints {"rows_per_s": …}."""

import asyncio
import json
import sys
import time

import asyncpg
import uvloop


async def main(url, table, count, seconds, warm_up):
    rows = [(i, f"item {i:06d}", i * 1.25, f"a short note that belongs to item {i:06d}") for i in range(1, count + 1)]
    connection = await asyncpg.connect(url)

    async def repeat(length):
        begin, done = time.perf_counter(), 0
        while time.perf_counter() - begin < length:
            await connection.executemany(f"INSERT INTO {table}(id, name, price, note) VALUES ($1, $2, $3, $4)", rows)
            done += count
        return done / (time.perf_counter() - begin)

    await repeat(warm_up)
    print(json.dumps({"rows_per_s": await repeat(seconds)}))
    await connection.close()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
