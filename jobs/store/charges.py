"""What attempts cost the budgets they are charged to: reserved when they open, settled when they close.

A budget's two sums change only here, in the statements that write the attempts whose mirror they are, so that no crash
can part the two. An attempt carries the budgets it is charged to (`budget_ids`, none for most tenants) and counts in
the period in which it was opened: what closes after its period's end leaves the next period alone.

Budgets are always locked in the order of their ids and after the attempts that a statement closes, so that two
writers never wait for each other in a circle. A lock that was waited for shows the row as it is then, not as the
statement's snapshot had it; that is what makes the sums exact.
"""

import uuid

from sqlalchemy import text

from jobs.store.direct import Line
from jobs.store.rows import Opening, opening_rows

# What an attempt is charged with: its cost; its bound while the cost is unknown; nothing when it never left.
_CHARGE = "coalesce(a.cost_usd, case when a.outcome = 'not_sent' then 0 else a.cost_bound_usd end, 0)"

OPENING_COLUMNS = """id, job_id, tenant_id, key_id, token, deployment, model, provider, task, tier, sandbox,
    cost_bound_usd, price_version"""
# Openings whose job is still in the asker's hands and wanted by its owner: the fence before the spending.
LIVE_OPENINGS = """
    select f.*, j.tenant_id, j.key_id{more}
    from jsonb_to_recordset(cast(:rows as jsonb)) as f(id uuid, job_id uuid, token uuid, deployment text, model text,
        provider text, task text, tier smallint, sandbox boolean, cost_bound_usd numeric, price_version text)
    join jobs j on j.id = f.job_id and j.token = f.token and j.state = 'running' and j.cancel_requested_at is null
"""
# Said twice (the commit was made, its acknowledgement lost) an attempt is written once and answered twice.
SAID_TWICE = """
    on conflict (id) do update set token = excluded.token where attempts.token = excluded.token
        and attempts.outcome is null
"""
IS_CHARGED_TO = "b.tenant_id = {row}.tenant_id and (b.key_id is null or b.key_id = {row}.key_id)"

# CTEs that lock the charged attempts which a settle is about to close, to know what each is charged with until then.
# One look at an empty table when nobody has a budget. `closed` must join `was`, so that the lock comes first.
WAS = f"""
was as materialized (
    select a.id, a.budget_ids, a.outcome is null as is_open, {_CHARGE} as charge_usd
    from f join attempts a on a.id = f.attempt_id
    where (select exists (select from budgets)) and a.id between :first and :last and a.budget_ids is not null
        and (a.outcome is null or a.outcome = 'unknown')
    order by a.id for update of a
)"""  # noqa: S608 -- made of constants of this file
# What `closed` returns of each attempt that a settle closed: its reservation goes, its charge changes by so much.
SETTLED = f"""was.budget_ids, a.opened_at,
        case when was.is_open then a.cost_bound_usd else 0 end as released_usd,
        {_CHARGE} - case when was.is_open then 0 else was.charge_usd end as added_usd"""
# The same of an attempt that becomes `unknown`: it may have been billed, so its bound stands for the bill.
UNSEEN = "a.budget_ids, a.opened_at, a.cost_bound_usd as released_usd, a.cost_bound_usd as added_usd"
# CTEs that follow one called `closed`, of attempts that were closed with the columns above.
BOOK = """
owed as materialized (
    select unnest(budget_ids) as budget_id, opened_at, released_usd, added_usd from closed where budget_ids is not null
), charged as materialized (
    select id, period_start from budgets where id in (select budget_id from owed) order by id for update
), booked as (
    update budgets b set reserved_usd = b.reserved_usd - d.released_usd, settled_usd = b.settled_usd + d.added_usd
    from (
        select c.id, sum(o.released_usd) as released_usd, sum(o.added_usd) as added_usd
        from owed o join charged c on c.id = o.budget_id where o.opened_at >= c.period_start group by c.id
    ) d where b.id = d.id
)"""

# Calls in line for a budget, the smallest first, so that one large call does not hold up the others of its flush.
_LINE = """select t.id, r.left_usd,
        sum(t.cost_bound_usd) over (partition by t.budget_id order by t.cost_bound_usd, t.id) as taken_usd
    from ties t join room r on r.id = t.budget_id where not t.is_said"""
# Openings of those who have a budget: each is written if its bound fits into what is left of every budget that it is
# charged to, and reserved there: first the keys' budgets, then, for what those let through, the tenants'.
# `at` is read after the locks: who has the row later has the later time, so periods only go forward. A row that was
# written before (its acknowledgement was lost) has an earlier `opened_at`, and is not reserved again.
OPEN_WITHIN_BUDGETS = text(f"""
with f as materialized ({LIVE_OPENINGS.format(more="")}), ties as materialized (
    select f.id, b.id as budget_id, b.key_id is not null as is_keys, f.cost_bound_usd,
        exists (select from attempts a where a.id = f.id) as is_said
    from f join budgets b on {IS_CHARGED_TO.format(row="f")}
), held as materialized (
    select id, cap_usd, period, period_start, settled_usd, reserved_usd from budgets
    where id in (select budget_id from ties) order by id for update
), moment as materialized (
    select greatest(clock_timestamp(), max(period_start)) as at from held
), room as materialized (
    select h.id, p.starts as period_start,
        h.cap_usd - case when p.starts > h.period_start then 0 else h.settled_usd + h.reserved_usd end as left_usd
    from held h cross join moment cross join lateral (
        select case when h.period = 'total' then h.period_start
            else greatest(h.period_start, date_trunc(h.period, moment.at, 'UTC')) end as starts
    ) p
), too_much as materialized (
    select t.id from ties t join room r on r.id = t.budget_id
    where not t.is_said and (t.cost_bound_usd is null or t.cost_bound_usd > r.left_usd)
), refused_by_key as materialized (
    select id from ({_LINE} and t.is_keys and t.id not in (select id from too_much)) t where taken_usd > left_usd
    union all select id from too_much
), refused as materialized (
    select id from ({_LINE} and not t.is_keys and t.id not in (select id from refused_by_key)) t
    where taken_usd > left_usd
    union all select id from refused_by_key
), opened as (
    insert into attempts ({OPENING_COLUMNS}, opened_at, budget_ids)
    select {OPENING_COLUMNS}, (select at from moment),
        (select array_agg(r.id order by r.id) from ties t join room r on r.id = t.budget_id where t.id = f.id)
    from f where f.id not in (select id from refused)
    {SAID_TWICE}
    returning id, opened_at, cost_bound_usd, budget_ids
), reserved as (
    update budgets b set period_start = d.period_start, reserved_usd = d.usd + case when d.is_new then 0
            else b.reserved_usd end,
        settled_usd = case when d.is_new then 0 else b.settled_usd end,
        told_percent = case when d.is_new then 0 else b.told_percent end,
        exhausted_at = case when d.is_new then null else b.exhausted_at end,
        exhaustion_told_at = case when d.is_new then null else b.exhaustion_told_at end
    from (
        select h.id, r.period_start, r.period_start > h.period_start as is_new, sum(o.cost_bound_usd) as usd
        from opened o join moment on o.opened_at = moment.at
        cross join lateral unnest(o.budget_ids) as t(budget_id)
        join room r on r.id = t.budget_id join held h on h.id = r.id
        group by h.id, h.period_start, r.period_start
    ) d where b.id = d.id
)
select id from opened
""")  # noqa: S608 -- made of constants of this file


async def open_within_budgets(line: Line, openings: list[Opening]) -> set[uuid.UUID]:
    """Write those attempts that fit into every budget they are charged to; returns the ids written.

    A missing one has lost its job, or does not fit: `jobs.store.budgets.in_the_way` says which.
    """
    found = await line.execute(OPEN_WITHIN_BUDGETS, {"rows": opening_rows(openings)})
    return set(found.scalars())
