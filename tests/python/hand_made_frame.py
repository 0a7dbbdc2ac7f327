"""A WebSocket client of another language: connects, sends hand-made frames, prints what comes back.

Usage: hand_made_frame.py URL TOKEN FRAME...
Prints one JSON line for each frame sent, with the reply, and a last one with the close code of a binary frame.
"""

import asyncio
import json
import sys

import websockets


async def main(url, token, frames):
    headers = {"Authorization": f"Bearer {token}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        for frame in frames:
            await socket.send(frame)
            print(await asyncio.wait_for(socket.recv(), 30))
        await socket.send(b"binary frames are refused")
        try:
            await asyncio.wait_for(socket.recv(), 30)
        except websockets.ConnectionClosed as closed:
            print(json.dumps({"close_code": closed.rcvd.code}))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
