"""GET / and what belongs to it: the door (login, logout), the live inside, the style and the script."""

import gzip
import hashlib
import hmac
import html
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from importlib.resources import files
from typing import NamedTuple
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from api.bodies import read_body
from api.front import front_of
from api.page import session, view
from api.page.session import Session
from api.page.templates import render
from api.page.watch import in_time
from api.problems import RETRY_AFTER_S, Problem
from jobs.store.accounts import Key, Scope, split
from jobs.store.session import StoreUnavailable

router = APIRouter(include_in_schema=False)
SESSION, FORM = "tokenyard_session", "tokenyard_form"
"""The cookies: the session, and what a login form must send back."""
FORM_LIFE_S = 3600
MOST_BYTES = 4_000
MOST_FIELDS = 10
_FORM_TOKEN = re.compile(r"[0-9A-Za-z_-]{32}")
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
_STATIC = files("api.page").joinpath("static")
_ASSETS = {"page.css": "text/css", "page.js": "text/javascript"}
ASSETS = {name: (_STATIC.joinpath(name).read_bytes(), media) for name, media in _ASSETS.items()}
Route = Callable[[Request], Awaitable[Response]]


class Visitor(NamedTuple):
    """Who is signed in: a live admin key, and the session it signed."""

    key: Key
    session: Session


def _unless_away(route: Route) -> Route:
    """Answer 503 with a page, not with JSON, while Postgres is away."""

    @wraps(route)
    async def guarded(request: Request) -> Response:
        try:
            return await route(request)
        except StoreUnavailable:
            return _page(render("away.html"), 503, {"retry-after": str(RETRY_AFTER_S)})

    return guarded


@router.get("/")
@_unless_away
async def page(request: Request) -> Response:
    """The whole page for a visitor with a session; the door for others."""
    visitor = await _visitor(request)
    if visitor is None:
        return _to("/login")
    inside = await _inside(request, visitor)
    token = visitor.session.form_token(visitor.key)
    return _packed(request, render("page.html", inside=Markup(inside), form_token=token))  # noqa: S704 -- our template


@router.get("/page/live")
@_unless_away
async def live(request: Request) -> Response:
    """What changes, for the script; 401 when the session has ended."""
    visitor = await _visitor(request)
    if visitor is None:
        return _page("", 401)
    return _packed(request, await _inside(request, visitor))


@router.get("/login")
async def door(request: Request) -> Response:
    """The form that asks for a key."""
    return _door(request)


@router.post("/login")
@_unless_away
async def login(request: Request) -> Response:
    """Check the key and begin a session."""
    form = await _form(request)
    if not _is_ours(request) or not _same(form.get("form_token"), request.cookies.get(FORM)):
        return _door(request, 403, "This form was too old, or your browser keeps no cookies. Please try again.")
    text = form.get("key", "").strip()
    try:
        key = await in_time(front_of(request).keys.check(f"Bearer {text}", Scope.ADMIN))
    except Problem as problem:
        return _door(request, 401, _complaint(problem))
    parts = split(text)
    assert parts is not None, "the keyring has just read it"
    answer = _to("/")
    _put(request, answer, SESSION, session.begin(key, parts[0], time.time()).cookie, session.LIFE_S)
    answer.delete_cookie(FORM)
    return answer


@router.post("/logout")
@_unless_away
async def logout(request: Request) -> Response:
    """Forget the session, if the form was this session's own."""
    visitor = await _visitor(request)
    answer = _to("/login")
    if visitor is not None:
        token = visitor.session.form_token(visitor.key)
        if not _is_ours(request) or not _same((await _form(request)).get("form_token"), token):
            return _to("/")
    answer.delete_cookie(SESSION)
    return answer


@router.get("/page/{name}")
async def asset(request: Request, name: str) -> Response:
    """The style or the script."""
    if name not in ASSETS:
        return _page("", 404)
    body, media = ASSETS[name]
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    headers = HEADERS | {"cache-control": "no-cache", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(body, 200, headers, media_type=media)


async def _visitor(request: Request) -> Visitor | None:
    """The visitor of a request's session cookie, while its key lives and may administer. Raises StoreUnavailable."""
    said = session.read(request.cookies.get(SESSION, ""))
    key = await in_time(front_of(request).keys.find(said.short_id)) if said else None
    if said is None or key is None or not said.is_genuine(key, time.time()) or Scope.ADMIN not in key.scopes:
        return None
    return Visitor(key, said)


async def _inside(request: Request, visitor: Visitor) -> str:
    """The tenant's figures; where the page says its own address, the one that this visitor used."""
    drawn = await front_of(request).watch.look(visitor.key.tenant_id)
    return drawn.replace(view.ADDRESS, html.escape(str(request.base_url).rstrip("/")))


async def _form(request: Request) -> dict[str, str]:
    """The fields of a small form; none of one that can't be read. Raises Problem when it is too large."""
    body = (await read_body(request, MOST_BYTES)).decode("utf-8", "replace")
    try:
        return {name: values[0] for name, values in parse_qs(body, max_num_fields=MOST_FIELDS).items()}
    except ValueError:
        return {}


def _is_ours(request: Request) -> bool:
    """False when the browser says that another site's page sent the form."""
    return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _same(said: str | None, known: str | None) -> bool:
    return bool(said and known) and hmac.compare_digest(str(said).encode(), str(known).encode())


def _complaint(problem: Problem) -> str:
    """The keyring's words for a person at the door."""
    return f"{problem.message[:1].upper()}{problem.message[1:]}."


def _door(request: Request, status: int = 200, complaint: str = "") -> Response:
    known = request.cookies.get(FORM, "")  # kept, so that a second tab's form works too
    token = known if _FORM_TOKEN.fullmatch(known) else secrets.token_urlsafe(24)
    answer = _page(render("login.html", form_token=token, complaint=complaint), status)
    _put(request, answer, FORM, token, FORM_LIFE_S)
    return answer


def _put(request: Request, answer: Response, name: str, value: str, life_s: int) -> None:
    """Set a cookie that no script reads and no other site sends; over HTTPS it stays there."""
    is_https = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=life_s, httponly=True, samesite="strict", secure=is_https, path="/")


def _to(path: str) -> Response:
    return RedirectResponse(path, 303, HEADERS)


def _page(body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return HTMLResponse(body, status, HEADERS | (headers or {}))


def _packed(request: Request, body: str) -> Response:
    """A page, packed for who takes it so: 60 kB become 8."""
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return _page(body)
    packed = gzip.compress(body.encode(), compresslevel=3, mtime=0)
    return Response(
        packed, 200, HEADERS | {"content-encoding": "gzip", "vary": "accept-encoding"}, media_type="text/html"
    )
