with movements as (
    select created, currency, 'charge' as kind, amount_captured as amount, status
    from charges
    where paid

    union all

    select created, currency, 'refund' as kind, amount, status
    from refunds
    where status not in ('failed', 'canceled')

    union all

    select created, currency, 'dispute' as kind, amount, status
    from disputes
    where status not in ('warning_needs_response', 'warning_under_review', 'warning_closed')
)

select
    cast(date_trunc('month', created) as date) as month,
    currency,
    cast(coalesce(sum(amount) filter (where kind = 'charge'), 0) as bigint) as charged,
    count(*) filter (where kind = 'refund') as refunds,
    cast(coalesce(sum(amount) filter (where kind = 'refund'), 0) as bigint) as refunded,
    count(*) filter (where kind = 'dispute') as disputes,
    cast(coalesce(sum(amount) filter (where kind = 'dispute'), 0) as bigint) as disputed,
    cast(coalesce(sum(amount) filter (where kind = 'dispute' and status = 'lost'), 0) as bigint)
        as disputes_lost
from movements
group by 1, 2
order by 1, 2;
