select
    p.id as payout,
    cast(p.arrival_date as date) as arrives,
    p.currency,
    p.amount as paid_out,
    cast(coalesce(sum(t.amount) filter (where t.reporting_category = 'charge'), 0) as bigint)
        as charges,
    cast(coalesce(sum(t.amount) filter (where t.reporting_category = 'refund'), 0) as bigint)
        as refunds,
    cast(coalesce(sum(t.amount) filter (
        where t.reporting_category not in ('charge', 'refund')
    ), 0) as bigint) as others,
    cast(coalesce(sum(t.fee), 0) as bigint) as fees,
    cast(p.amount - coalesce(sum(t.net), 0) as bigint) as difference
from payouts as p
left join payout_balance_transactions as t
    on p.id = t.payout
    and p.balance_transaction <> t.id
    and t._sdc_deleted_at is null
where p.automatic
group by p.id, p.arrival_date, p.currency, p.amount
order by p.arrival_date, p.id;
