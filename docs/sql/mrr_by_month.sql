with lines as (
    select
        l.subscription,
        l.currency,
        (l.period ->> 'start')::bigint as starts,
        (l.period ->> 'end')::bigint as ends,
        coalesce(
            l.parent -> 'subscription_item_details' ->> 'proration',
            l.parent -> 'invoice_item_details' ->> 'proration'
        ) = 'true' as is_proration,
        l.amount
        - coalesce((
            select sum((d.value ->> 'amount')::bigint)
            from unnest(l.discount_amounts) as d (value)
        ), 0)
        - coalesce((
            select sum((t.value ->> 'amount')::bigint)
            from unnest(l.taxes) as t (value)
            where (t.value ->> 'tax_behavior') = 'inclusive'
        ), 0) as net,
        (p.recurring ->> 'interval_count')::int
        * case p.recurring ->> 'interval'
            when 'year' then 12.0
            when 'month' then 1.0
            when 'week' then 7 / 30.4375
            else 1 / 30.4375
        end as months,
        ((p.recurring ->> 'interval_count') || ' ' || (p.recurring ->> 'interval'))::interval
            as length
    from invoice_line_items as l
    inner join invoices as i on l.invoice = i.id
    inner join prices as p on (l.pricing -> 'price_details' ->> 'price') = p.id
    where i.status in ('draft', 'open', 'paid')
        and l.subscription is not null
        and l.amount <> 0
        and (p.recurring ->> 'usage_type') = 'licensed'
        and i._sdc_deleted_at is null
        and l._sdc_deleted_at is null
),

monthly as (
    select
        subscription,
        currency,
        starts,
        ends,
        round(net / months * case when is_proration then
            (extract(epoch from to_timestamp(ends) at time zone 'utc')
            - extract(epoch from (to_timestamp(ends) at time zone 'utc') - length))
            / nullif(ends - starts, 0)
        else 1 end) as amount
    from lines
),

months as (
    select
        month,
        least(
            month + interval '1 month' - interval '1 second',
            (select max(created) from invoices)
        ) as moment
    from generate_series(
        (select date_trunc('month', min(created)) from invoices),
        (select max(created) from invoices),
        interval '1 month'
    ) as series (month)
)

select
    cast(months.month as date) as month,
    monthly.currency,
    cast(sum(monthly.amount) as bigint) as mrr,
    count(distinct monthly.subscription) as subscriptions
from months
inner join monthly
    on monthly.starts <= extract(epoch from months.moment)
    and monthly.ends > extract(epoch from months.moment)
left join subscriptions as s on monthly.subscription = s.id
where s.ended_at is null or s.ended_at > months.moment
group by months.month, monthly.currency
order by months.month, monthly.currency;
