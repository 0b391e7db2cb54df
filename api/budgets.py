"""/v1/budgets: ceilings on what a tenant or a key may spend; /v1/tenant: what holds for the tenant itself."""

from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Request, Response
from msgspec import Meta

from api import show
from api.auth import Admin
from api.forms import described, read_form
from api.front import front_of
from api.paths import not_found, read_id
from api.problems import Code, Problem
from api.schemas import MAX_BUDGET_USD, is_amount
from jobs import ids
from jobs.ids import InvalidId
from jobs.store import accounts, budgets, tenants
from jobs.store.budgets import ALERT_PERCENTS, Budget, BudgetTaken

router = APIRouter(tags=["budgets"])
Percents = Annotated[list[Annotated[int, Meta(ge=1, le=100)]], Meta(max_length=10)]


Usd = Annotated[str, Meta(extra_json_schema={"pattern": r"^[0-9]{1,6}(\.[0-9]{1,6})?$"})]


class NewBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A budget to make. Without `key_id` it is the whole tenant's; an empty list of percents: no alerts."""

    cap_usd: Usd
    period: Literal["total", "day", "month"]
    key_id: str | None = None
    alert_percents: Percents | None = None


class BudgetChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change of a budget; what is left out stays."""

    cap_usd: Usd | None = None
    alert_percents: Percents | None = None


@router.post("/v1/budgets", status_code=201, openapi_extra=described(NewBudget))
async def create(request: Request, key: Admin) -> Response:
    """Make a budget. It counts the calls opened from now on; one for each period of a tenant or key."""
    wanted = await read_form(request, NewBudget)
    cap_usd, key_id = _amount(wanted.cap_usd), None
    percents = ALERT_PERCENTS if wanted.alert_percents is None else wanted.alert_percents
    if wanted.key_id is not None:
        try:
            key_id = ids.read("key", wanted.key_id)
        except InvalidId as error:
            raise Problem(Code.INVALID_VALUE, f"key_id: {error}", "key_id") from error
    async with front_of(request).database.transaction() as connection:
        if key_id is not None and not await accounts.has_key(connection, key.tenant_id, key_id):
            raise Problem(Code.NOT_FOUND, f"key_id: there is no key {wanted.key_id!r} of your tenant", "key_id")
        try:
            budget_id = await budgets.create(connection, key.tenant_id, cap_usd, wanted.period, key_id, percents)
        except BudgetTaken as error:
            whose = "this key" if key_id is not None else "the tenant"
            message = f"{whose} has a budget for the period {wanted.period} already; PATCH that one"
            raise Problem(Code.BUDGET_TAKEN, message, "period") from error
        made = await budgets.find(connection, key.tenant_id, budget_id)
    assert made is not None, "it was made in this transaction"
    return show.answer(_shown(made), 201, {"location": f"/v1/budgets/{ids.show('budget', budget_id)}"})


@router.get("/v1/budgets")
async def list_budgets(request: Request, key: Admin) -> Response:
    """The tenant's budgets and its keys', oldest first: the cap, what is settled, reserved and left."""
    async with front_of(request).database.statement() as connection:
        found = await budgets.budgets_of(connection, key.tenant_id)
    return show.answer(show.listed([_shown(budget) for budget in found], len(found)))


@router.get("/v1/budgets/{budget_id}")
async def get_budget(request: Request, key: Admin, budget_id: str) -> Response:
    """One budget as it stands."""
    async with front_of(request).database.statement() as connection:
        found = await budgets.find(connection, key.tenant_id, read_id("budget", budget_id))
    if found is None:
        raise not_found("budget", budget_id)
    return show.answer(_shown(found))


@router.patch("/v1/budgets/{budget_id}", openapi_extra=described(BudgetChange))
async def change(request: Request, key: Admin, budget_id: str) -> Response:
    """Set cap or alerts. A higher cap lets waiting jobs go on; a lower one stops new calls, not those that run."""
    wanted_id, wanted = read_id("budget", budget_id), await read_form(request, BudgetChange)
    cap_usd = _amount(wanted.cap_usd) if wanted.cap_usd is not None else None
    front = front_of(request)
    async with front.database.transaction() as connection:
        woken = await budgets.change(connection, key.tenant_id, wanted_id, cap_usd, wanted.alert_percents)
        found = await budgets.find(connection, key.tenant_id, wanted_id)
    if woken is None or found is None:
        raise not_found("budget", budget_id)
    front.ring.nudge()
    return show.answer(_shown(found))


@router.delete("/v1/budgets/{budget_id}")
async def remove(request: Request, key: Admin, budget_id: str) -> Response:
    """Remove a budget; jobs that waited for it go on."""
    front = front_of(request)
    async with front.database.transaction() as connection:
        if not await budgets.remove(connection, key.tenant_id, read_id("budget", budget_id)):
            raise not_found("budget", budget_id)
    front.ring.nudge()
    return show.answer({"id": budget_id, "object": "budget", "deleted": True})


@router.get("/v1/tenant")
async def get_tenant(request: Request, key: Admin) -> Response:
    """The tenant of your key and its limits; `tokenyard tenants set` changes them, for who holds the database."""
    async with front_of(request).database.statement() as connection:
        found = await tenants.find(connection, key.tenant_id)
    assert found is not None, "a key belongs to a tenant"
    return show.answer(
        {
            "id": ids.show("tenant", found.id),
            "object": "tenant",
            "name": found.name,
            "max_queued_jobs": found.max_queued_jobs,
            "weight": found.weight,
            "created_at": show.moment(found.created_at),
        }
    )


def _amount(text: str) -> Decimal:
    amount = Decimal(text) if is_amount(text) else None
    if amount is None:
        message = f'cap_usd: must be an amount from 0 to {MAX_BUDGET_USD} USD as a string, such as "25.00"'
        raise Problem(Code.INVALID_VALUE, message, "cap_usd")
    return amount


def _shown(budget: Budget) -> show.JsonObject:
    return {
        "id": ids.show("budget", budget.id),
        "object": "budget",
        "key_id": show.shown("key", budget.key_id),
        "period": budget.period,
        "period_start": show.moment(budget.period_start),
        "period_end": show.moment(budget.period_end),
        "cap_usd": show.money(budget.cap_usd),
        "settled_usd": show.money(budget.settled_usd),
        "reserved_usd": show.money(budget.reserved_usd),
        "remaining_usd": show.money(budget.remaining_usd),
        "exhausted_at": show.moment(budget.exhausted_at),
        "alert_percents": budget.alert_percents,
        "created_at": show.moment(budget.created_at),
    }
