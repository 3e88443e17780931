with payments as (
    select
        date_trunc('month', c.created) as month,
        c.currency,
        coalesce(c.outcome ->> 'reason', c.failure_code, 'unknown') as reason,
        coalesce(c.payment_intent, c.id) as payment,
        count(*) as attempts,
        max(c.amount) as amount,
        coalesce(max(p.status), 'failed') = 'succeeded' as recovered
    from charges as c
    left join payment_intents as p on c.payment_intent = p.id
    where c.status = 'failed'
    group by 1, 2, 3, 4
)

select
    cast(month as date) as month,
    currency,
    reason,
    cast(sum(attempts) as bigint) as attempts,
    count(*) as payments,
    count(*) filter (where recovered) as recovered,
    cast(coalesce(sum(amount) filter (where not recovered), 0) as bigint) as lost
from payments
group by 1, 2, 3
order by 1, 2, 3;
