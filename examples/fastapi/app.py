"""A small learning platform behind Sluice: login, items, AI chat, voice, assessments, a WebSocket.

It stands for the application that Sluice protects, and is written as one would be: FastAPI on uvicorn, RS256 tokens,
scrypt passwords. It asks no outside service: an AI answer is computed here, so that the example runs without a network.

It also counts every request that reached it, by path and by user. GET /__counts shows the counts, so that the lab and
the tests can prove that a refused request never arrived. It answers only when STARGUIDE_COUNTS=1 and only to someone who
asks the application's own port: whatever came through a proxy gets the 404 of an unknown path.

Settings (environment):
    STARGUIDE_JWT_KEY     PEM file with the RSA private key that signs and verifies tokens; required
    STARGUIDE_USERS       YAML file {name: {salt: HEX, scrypt: HEX}}; required
    STARGUIDE_API_KEYS    YAML file with hashed API keys, the file Sluice reads; optional
    STARGUIDE_ISSUER, STARGUIDE_AUDIENCE, STARGUIDE_JWT_KEY_ID   default "starguide", "api" and "lab"
    STARGUIDE_CHUNK_DELAY_MS               pause between two pieces of a streamed AI answer; default 40
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import hmac
import json
import os
import time
from typing import Any, Optional

import jwt
import yaml
from cryptography.hazmat.primitives import serialization
from fastapi import Depends, FastAPI, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

ISSUER = os.environ.get("STARGUIDE_ISSUER", "starguide")
AUDIENCE = os.environ.get("STARGUIDE_AUDIENCE", "api")
KEY_ID = os.environ.get("STARGUIDE_JWT_KEY_ID", "lab")
CHUNK_DELAY_S = int(os.environ.get("STARGUIDE_CHUNK_DELAY_MS", "40")) / 1000
TOKEN_LIFETIME_S = 3600
ANONYMOUS = "-"
# The cost is low on purpose (about 5 ms): the example must not be the bottleneck of a lab on two cores.
SCRYPT = {"n": 2048, "r": 8, "p": 1}

MODELS = {
    "openai": {"gpt-4o", "gpt-4o-mini"},
    "claude": {"claude-3-5-sonnet", "claude-3-5-haiku"},
    "gemini": {"gemini-1.5-pro", "gemini-1.5-flash"},
}


def read_signing_key() -> Any:
    with open(os.environ["STARGUIDE_JWT_KEY"], "rb") as file:
        return serialization.load_pem_private_key(file.read(), password=None)


def read_yaml(variable: str) -> Any:
    path = os.environ.get(variable)
    if not path:
        return None
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


SIGNING_KEY = read_signing_key()
VERIFYING_KEY = SIGNING_KEY.public_key()
USERS = read_yaml("STARGUIDE_USERS") or {}
API_KEYS = {entry["sha256"]: entry["user"] for entry in (read_yaml("STARGUIDE_API_KEYS") or {}).get("keys", [])}


def user_of(headers: dict[bytes, bytes]) -> Optional[str]:
    """The verified user of a request, None for an anonymous one."""
    authorization = headers.get(b"authorization", b"").decode("latin-1")
    if authorization.lower().startswith("bearer "):
        token = authorization[7:].strip()
        try:
            header = jwt.get_unverified_header(token)
            if header.get("kid") != KEY_ID or "crit" in header:
                return None
            claims = jwt.decode(
                token, VERIFYING_KEY, ["RS256"], {"require": ["exp", "sub"]}, issuer=ISSUER, audience=AUDIENCE
            )
            return str(claims["sub"])
        except (jwt.PyJWTError, KeyError):
            return None
    api_key = headers.get(b"x-api-key")
    if api_key:
        return API_KEYS.get(hashlib.sha256(api_key).hexdigest())
    return None


class Counts:
    """What reached the application. One event loop, so plain counters are enough."""

    def __init__(self) -> None:
        self.by_path: collections.Counter[str] = collections.Counter()
        self.by_user: collections.Counter[str] = collections.Counter()
        self.by_user_and_path: dict[str, collections.Counter[str]] = {}

    def add(self, path: str, user: Optional[str]) -> None:
        name = user or ANONYMOUS
        self.by_path[path] += 1
        self.by_user[name] += 1
        self.by_user_and_path.setdefault(name, collections.Counter())[path] += 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "total": sum(self.by_path.values()),
            "by_path": self.by_path,
            "by_user": self.by_user,
            "by_user_and_path": self.by_user_and_path,
        }


COUNTS = Counts()


class CountArrivals:
    """ASGI middleware: counts a request before anything of the application sees it, and streams it untouched."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket") and scope["path"] != "/__counts":
            headers = dict(scope["headers"])
            user = user_of(headers)
            scope.setdefault("state", {})["user"] = user
            COUNTS.add(scope["path"], user)
        await self.app(scope, receive, send)


app = FastAPI(title="Starguide", docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(CountArrivals)


def optional_user(request: Request) -> Optional[str]:
    return request.state.user


def required_user(request: Request) -> str:
    if request.state.user is None:
        raise HTTPException(401, "a valid bearer token or API key is required", {"WWW-Authenticate": "Bearer"})
    return request.state.user


# --- account --------------------------------------------------------------------------------------------------------


class Login(BaseModel):
    username: str = Field(max_length=100)
    password: str = Field(max_length=200)


@app.post("/api/auth/login")
def login(credentials: Login) -> dict[str, Any]:
    known = USERS.get(credentials.username)
    # An unknown name costs the same as a wrong password, so that the answer's time names nobody.
    salt = bytes.fromhex(known["salt"]) if known else b"no such user"
    given = hashlib.scrypt(credentials.password.encode(), salt=salt, **SCRYPT)
    if known is None or not hmac.compare_digest(given, bytes.fromhex(known["scrypt"])):
        raise HTTPException(401, "wrong user name or password", {"WWW-Authenticate": "Bearer"})
    now = int(time.time())
    claims = {
        "sub": credentials.username,
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + TOKEN_LIFETIME_S,
    }
    token = jwt.encode(claims, SIGNING_KEY, algorithm="RS256", headers={"kid": KEY_ID})
    return {"access_token": token, "token_type": "bearer", "expires_in": TOKEN_LIFETIME_S}


# --- plain resources ------------------------------------------------------------------------------------------------

ITEMS = [{"id": n, "title": f"Lesson {n}", "minutes": 5 + 3 * n} for n in range(1, 11)]


@app.get("/api/items")
async def items(user: Optional[str] = Depends(optional_user)) -> dict[str, Any]:
    return {"user": user, "items": ITEMS}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


# --- AI -------------------------------------------------------------------------------------------------------------


class Message(BaseModel):
    role: str
    content: str = Field(max_length=20_000)


class Chat(BaseModel):
    model: str
    messages: list[Message] = Field(min_items=1, max_items=50)
    stream: bool = False


def answer_to(chat: Chat) -> list[str]:
    question = chat.messages[-1].content.split()
    return ["You", "asked", "about:"] + question[:40] + ["-", "here", "is", "a", "short", "lesson", "on", "it."]


def usage_of(chat: Chat, words: list[str]) -> dict[str, int]:
    prompt = sum(len(message.content.split()) for message in chat.messages)
    return {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}


@app.post("/api/ai/{provider}/chat")
async def chat(provider: str, body: Chat, user: str = Depends(required_user)) -> Any:
    if provider not in MODELS:
        raise HTTPException(404, f"no such provider; there are {', '.join(sorted(MODELS))}")
    if body.model not in MODELS[provider]:
        raise HTTPException(422, f"model must be one of {', '.join(sorted(MODELS[provider]))}")
    words = answer_to(body)
    if not body.stream:
        return {
            "model": body.model,
            "choices": [{"message": {"role": "assistant", "content": " ".join(words)}}],
            "usage": usage_of(body, words),
        }

    async def events() -> Any:
        for word in words:
            yield "data: " + json.dumps({"model": body.model, "delta": word}) + "\n\n"
            await asyncio.sleep(CHUNK_DELAY_S)
        yield "data: " + json.dumps({"model": body.model, "usage": usage_of(body, words)}) + "\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


# --- voice and assessments ------------------------------------------------------------------------------------------


@app.post("/api/voice/transcribe")
async def transcribe(request: Request, user: str = Depends(required_user)) -> dict[str, Any]:
    """Takes audio of any length, a piece at a time, and never holds more than one piece."""
    digest, size, pieces = hashlib.sha256(), 0, 0
    started = time.monotonic()
    first_piece_s = None
    async for piece in request.stream():
        if piece and first_piece_s is None:
            first_piece_s = time.monotonic() - started
        digest.update(piece)
        size += len(piece)
        pieces += bool(piece)
    return {
        "user": user,
        "bytes": size,
        "pieces": pieces,
        "sha256": digest.hexdigest(),
        "first_piece_s": first_piece_s,
        "last_piece_s": time.monotonic() - started,
        "transcript": f"{size} bytes of speech",
    }


class Submission(BaseModel):
    answers: list[int] = Field(max_items=200)


@app.post("/api/assessments/{assessment_id}/submit")
async def submit(assessment_id: str, body: Submission, user: str = Depends(required_user)) -> dict[str, Any]:
    correct = sum(1 for number, answer in enumerate(body.answers) if answer == (number * 7) % 4)
    score = round(100 * correct / len(body.answers)) if body.answers else 0
    return {"assessment": assessment_id, "user": user, "score": score, "next_difficulty": 1 + score // 34}


# --- WebSocket ------------------------------------------------------------------------------------------------------


@app.websocket("/ws/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass


# --- for the lab ----------------------------------------------------------------------------------------------------


@app.get("/__counts", include_in_schema=False)
async def counts(request: Request) -> JSONResponse:
    through_a_proxy = any(name in request.headers for name in ("x-forwarded-for", "forwarded", "via"))
    if os.environ.get("STARGUIDE_COUNTS") != "1" or through_a_proxy:
        return JSONResponse({"detail": "Not Found"}, status_code=404)
    return JSONResponse(COUNTS.as_dict())
