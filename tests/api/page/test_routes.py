"""The door and what it guards: who gets in, how long, and what the replies tell a browser to forbid."""

import re
import time

import httpx2
import msgspec
import pytest

from api.app import create_with, lifespan
from api.page import session
from jobs.settings import Settings
from jobs.store.accounts import Scope, list_keys, revoke_key
from jobs.store.session import Database
from tests.api.conftest import make_key
from tests.api.page.visitor import Visitor, tile
from tests.jobs.store import given

NOBODY = "ty_" + "0" * 16 + "_" + "a" * 43


async def test_who_has_not_signed_in_is_sent_to_the_door(stranger: Visitor):
    reply = await stranger.client.get("/")
    assert (reply.status_code, reply.headers["location"]) == (303, "/login")
    assert (await stranger.client.get("/page/live")).status_code == 401
    assert 'name="key"' in (await stranger.client.get("/login")).text


@pytest.mark.parametrize("key", [NOBODY, "", "ty_", "x" * 200, "ty_\0", "<script>", "Bearer x"])
async def test_no_wrong_key_gets_in(stranger: Visitor, key: str):
    reply = await stranger.sign_in(key)
    assert reply.status_code == 401
    assert session.read(reply.cookies.get("tokenyard_session") or "") is None
    assert 'role="alert"' in reply.text
    assert "<script>" not in reply.text


@pytest.mark.parametrize("scope", [Scope.SUBMIT, Scope.READ])
async def test_a_key_without_admin_does_not_get_in(stranger: Visitor, database: Database, scope: Scope):
    reply = await stranger.sign_in(await make_key(database, "default", scope))
    assert reply.status_code == 401
    assert "admin" in reply.text
    assert (await stranger.client.get("/")).headers["location"] == "/login"


async def test_the_session_is_a_cookie_that_no_script_and_no_other_site_gets(visitor: Visitor, database: Database):
    key = await make_key(database, "default", Scope.ADMIN)
    reply = await visitor.sign_in(key)
    (cookie,) = [line for line in reply.headers.get_list("set-cookie") if line.startswith("tokenyard_session")]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Secure" not in cookie  # over plain HTTP the browser would throw it away
    assert key[20:] not in cookie
    assert key not in await visitor.look()


async def test_over_https_the_cookies_stay_there(stranger: Visitor, database: Database):
    stranger.client.base_url = httpx2.URL("https://yard")
    reply = await stranger.sign_in(await make_key(database, "default", Scope.ADMIN))
    made = [line for line in reply.headers.get_list("set-cookie") if line.startswith("tokenyard_session")]
    assert all("Secure" in line for line in made)
    assert (await stranger.client.get("/")).status_code == 200


async def test_every_reply_forbids_what_the_page_does_not_need(visitor: Visitor):
    for path in ("/", "/login", "/page/live", "/page/page.css", "/page/page.js"):
        reply = await visitor.client.get(path)
        assert reply.status_code == 200
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["cache-control"] in {"no-store", "no-cache"}
    html = await visitor.look()
    assert re.findall(r'(?:src|href|action)="(?!/|#|data:)', html) == []
    assert re.findall(r"<style|style=|<script(?! src)| on[a-z]+=", html) == []


@pytest.mark.parametrize(
    "form", [b"", b"key=x", b"form_token=forged&key=x", b"\xff\xfe", b"&".join([b"a=1"] * 20), b"form_token=%00"]
)
async def test_a_form_that_is_not_ours_is_refused(stranger: Visitor, form: bytes):
    headers = {"content-type": "application/x-www-form-urlencoded"}
    await stranger.client.get("/login")
    assert (await stranger.client.post("/login", content=form, headers=headers)).status_code == 403


async def test_another_sites_form_is_refused_whatever_it_holds(stranger: Visitor, database: Database):
    key = await make_key(database, "default", Scope.ADMIN)
    assert (await stranger.sign_in(key, **{"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await stranger.sign_in(key, **{"sec-fetch-site": "same-origin"})).status_code == 303
    too_large = await stranger.client.post("/login", content=b"a" * 5_000)
    assert too_large.status_code == 413


async def test_a_revoked_key_ends_its_sessions(visitor: Visitor, database: Database):
    tenant_id = await given.tenant(database)
    async with database.transaction() as connection:
        (entry,) = await list_keys(connection, tenant_id)
        assert await revoke_key(connection, tenant_id, entry.id)
    visitor.front.keys._seen.clear()  # five seconds later
    assert (await visitor.client.get("/page/live")).status_code == 401
    assert (await visitor.client.get("/")).headers["location"] == "/login"


async def test_a_cookie_that_this_yard_did_not_sign_opens_nothing(visitor: Visitor, database: Database):
    cookie = visitor.client.cookies["tokenyard_session"]
    said = session.read(cookie)
    assert said is not None
    later = msgspec.structs.replace(said, until_s=said.until_s + 1).cookie
    other = (await make_key(database, "default", Scope.ADMIN))[3:19]
    forged = [later, cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), other + cookie[16:], "x", "", NOBODY]
    for value in forged:
        visitor.client.cookies.clear()
        visitor.client.cookies.set("tokenyard_session", value)
        assert (await visitor.client.get("/page/live")).status_code == 401, value
    visitor.client.cookies.set("tokenyard_session", cookie)
    assert (await visitor.client.get("/page/live")).status_code == 200


async def test_a_session_of_a_key_that_may_not_administer_opens_nothing(stranger: Visitor, database: Database):
    short_id = (await make_key(database, "default", Scope.READ, Scope.SUBMIT))[3:19]
    key = await stranger.front.keys.find(short_id)
    assert key is not None
    stranger.client.cookies.set("tokenyard_session", session.begin(key, short_id, time.time()).cookie)
    assert (await stranger.client.get("/page/live")).status_code == 401


async def test_signing_out_needs_the_pages_own_form(visitor: Visitor):
    assert (await visitor.client.post("/logout", data={"form_token": "forged"})).headers["location"] == "/"
    assert (await visitor.client.get("/")).status_code == 200
    reply = await visitor.client.post("/logout", data={"form_token": await visitor.token("/")})
    assert reply.headers["location"] == "/login"
    assert "tokenyard_session" not in visitor.client.cookies
    assert (await visitor.client.get("/")).status_code == 303


async def test_style_and_script_are_sent_again_only_when_they_changed(visitor: Visitor):
    first = await visitor.client.get("/page/page.css")
    again = await visitor.client.get("/page/page.css", headers={"if-none-match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")
    for name in ("nothing.css", "..%2fpart.py", "__init__.py", "page.css%00"):
        assert (await visitor.client.get(f"/page/{name}")).status_code == 404


async def test_the_page_needs_no_redis(settings: Settings, database: Database):
    alone = msgspec.structs.replace(settings, redis_url="redis://127.0.0.1:1/0")
    app = create_with(alone)
    async with lifespan(alone)(app):
        visitor = Visitor(app)
        async with visitor.client:
            await visitor.sign_in(await make_key(database, "default", Scope.ADMIN))
            page = await visitor.look()
            assert tile(page, "waiting") == ("0", "0 running")
            assert "Redis is away" in page
            assert re.search(r'id="provider-lab".*?unknown', page)


async def test_while_postgres_is_away_the_page_says_so(settings: Settings, visitor: Visitor, database: Database):
    away = msgspec.structs.replace(settings, database_url="postgresql://tokenyard@127.0.0.1:1/none")
    app = create_with(away)
    async with lifespan(away)(app):
        blind = Visitor(app)
        async with blind.client:
            assert (await blind.client.get("/login")).status_code == 200
            replies = [await blind.sign_in(await make_key(database, "default", Scope.ADMIN))]
            blind.client.cookies = visitor.client.cookies
            replies += [await blind.client.get(path) for path in ("/", "/page/live")]
            for reply in replies:
                assert reply.status_code == 503
                assert int(reply.headers["retry-after"]) > 0
                assert "Postgres is away" in reply.text
                assert reply.headers["content-type"].startswith("text/html")
