"""An endpoint for notifications of banks with FastAPI and asyncpg: POST /hooks/<name of the bank>.

Served at 127.0.0.1:$PORT, with PGDATABASE and the like from the environment.
"""
import json
import os
import asyncpg
import uvicorn
from fastapi import FastAPI, Request, Response

TOO_LARGE = 256 * 1024 + 1      # more is not read: pgw refuses this much
app = FastAPI()


@app.on_event('startup')
async def connect():
    app.state.pool = await asyncpg.create_pool(min_size=0)


@app.post('/hooks/{bank}')
async def hook(bank: str, request: Request):
    body = b''      # as it came, and not what a model makes of it
    async for piece in request.stream():
        body += piece
        if len(body) >= TOO_LARGE:
            body = body[:TOO_LARGE]
            break
    headers = {}
    for name, value in request.headers.items():     # one that comes twice is there twice
        headers.setdefault(name, []).append(value)
    try:
        # a statement by itself: committed when it returns
        status = await app.state.pool.fetchval('SELECT http_status FROM pgw.receive_notification($1, $2, $3, url => $4)', bank, json.dumps(headers), body, str(request.url))
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        status = 500    # nothing was taken: it is sent again
    return Response(status_code=status)


if __name__ == '__main__':
    uvicorn.run(app, host='127.0.0.1', port=int(os.environ['PORT']), log_level='warning')
