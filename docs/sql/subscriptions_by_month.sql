with lives as (
    select id, customer, coalesce(trial_end, start_date) as began, ended_at as ended
    from subscriptions
    where status not in ('incomplete', 'incomplete_expired')
        and _sdc_deleted_at is null
),

months as (
    select month as starts, month + interval '1 month' as ends
    from generate_series(
        (select date_trunc('month', min(began)) from lives),
        now() at time zone 'utc',
        interval '1 month'
    ) as series (month)
),

counted as (
    select
        m.starts,
        count(*) filter (where l.began < m.starts) as at_start,
        count(*) filter (where l.began >= m.starts) as begun,
        count(*) filter (where l.ended < m.ends) as ended,
        count(*) filter (where l.ended < m.ends and l.began < m.starts) as churned,
        count(*) filter (where l.ended is null or l.ended >= m.ends) as at_end,
        count(distinct l.customer) filter (where l.ended is null or l.ended >= m.ends) as customers
    from months as m
    inner join lives as l
        on l.began < m.ends
        and (l.ended is null or l.ended >= m.starts)
        and (l.ended is null or l.ended > l.began)
    group by m.starts
)

select
    cast(starts as date) as month,
    begun,
    ended,
    at_end as active,
    customers,
    round(100.0 * churned / nullif(at_start, 0), 1) as churn_percent
from counted
order by starts;
