with items as (
    select
        s.id as subscription,
        s.currency,
        i.price ->> 'product' as product,
        i.price -> 'recurring' ->> 'interval' as billed_by,
        i.quantity,
        round(
            (i.price ->> 'unit_amount_decimal')::numeric(20, 6) * i.quantity
            / (i.price -> 'recurring' ->> 'interval_count')::int
            / case i.price -> 'recurring' ->> 'interval'
                when 'year' then 12.0
                when 'month' then 1.0
                when 'week' then 7 / 30.4375
                else 1 / 30.4375
            end
        ) as amount
    from subscription_items as i
    inner join subscriptions as s on i.subscription = s.id
    where s.status in ('active', 'past_due')
        and (i.price -> 'recurring' ->> 'usage_type') = 'licensed'
        and i._sdc_deleted_at is null
        and s._sdc_deleted_at is null
)

select
    items.currency,
    p.name as product,
    items.billed_by,
    count(distinct items.subscription) as subscriptions,
    cast(sum(items.quantity) as bigint) as quantity,
    cast(sum(items.amount) as bigint) as mrr
from items
left join products as p on items.product = p.id
group by items.currency, p.name, items.billed_by
order by items.currency, mrr desc, p.name, items.billed_by;
