"""A point read by FastAPI, uvicorn and asyncpg, as one would write it: one worker, a pool of 20, uvloop and httptools.
fastapi_point.py DATABASE_URL SQL; GET /row/KEY answers the row as JSON. Prints where it listens."""

import json
import socket
import sys

import asyncpg
import uvicorn
from fastapi import FastAPI

URL, SQL = sys.argv[1:]
app = FastAPI()
listener = socket.create_server(("127.0.0.1", 0), backlog=512)


@app.on_event("startup")
async def startup():
    app.state.pool = await asyncpg.create_pool(URL, min_size=20, max_size=20)
    print(json.dumps({"listen": "127.0.0.1:%d" % listener.getsockname()[1]}), flush=True)


@app.on_event("shutdown")
async def shutdown():
    await app.state.pool.close()


@app.get("/row/{key}")
async def row(key: int):
    return dict(await app.state.pool.fetchrow(SQL, key))


if __name__ == "__main__":
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
